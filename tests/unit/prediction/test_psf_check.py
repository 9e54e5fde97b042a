"""A PSF that is not the image's is noticed; the right one is not doubted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.general.package import RELEASED, is_general
from galadapt.prediction.flags import REMEDIES, Flag
from galadapt.prediction.inputs import Inputs
from galadapt.prediction.predict import predict
from galadapt.prediction.psf_check import Cores, Verdict, verdict

SCALE, RMS, CELL, ROW = 0.2, 0.05, 40, 6

#: Of the images: 0.75 arcsec wide, 3.9 px with the pixel.
PSF = galsim.Convolve(galsim.Moffat(beta=3.2, fwhm=0.75).shear(g1=0.04), galsim.Pixel(SCALE))


@dataclass
class Pixels:
    """An open image, as far as `Cores` reads it."""

    data: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def read(self, y0: int, y1: int, x0: int, x1: int) -> tuple[np.ndarray, np.ndarray]:
        data = self.data[y0:y1, x0:x1]
        return data, np.full(data.shape, RMS**-2)


def image(stars: int, galaxies: int = 16, seed: int = 1) -> tuple[np.ndarray, pd.DataFrame]:
    """Stars, and galaxies of 0.2 to 1 arcsec, one per cell, and their places [px]."""
    random = np.random.default_rng(seed)
    pixels = random.normal(0, RMS, (CELL * ROW, CELL * ROW))
    places = []
    for number, cell in enumerate(random.permutation(ROW**2)[: stars + galaxies]):
        flux = 10 ** random.uniform(2.2, 3.2)
        seen = PSF * flux
        if number >= stars:
            galaxy = galsim.Sersic(
                n=random.uniform(0.7, 3), half_light_radius=np.exp(random.uniform(-1.6, 0))
            ).shear(g=random.uniform(0, 0.4), beta=random.uniform(0, 180) * galsim.degrees)
            seen = galsim.Convolve(galaxy, seen)
        shift = random.uniform(-0.5, 0.5, 2)
        y, x = CELL * np.array(divmod(int(cell), ROW))
        pixels[y : y + CELL, x : x + CELL] += seen.drawImage(
            nx=CELL, ny=CELL, scale=SCALE, method="no_pixel", offset=shift
        ).array
        places.append((number, *(np.array([x, y]) + (CELL - 1) / 2 + shift)))
    return pixels, pd.DataFrame(places, columns=["id", "x", "y"])


def found(pixels: np.ndarray, width: float) -> Verdict | None:
    return verdict(Cores(PSF.dilate(width), SCALE).of_image(Pixels(pixels)))


def test_stars_show_a_psf_that_is_too_wide_or_too_narrow() -> None:
    pixels, _ = image(stars=6)
    right = found(pixels, 1.0)
    assert right is None or not right.disagrees
    for width in (1.2, 1 / 1.2, 1.6):
        said = found(pixels, width)
        assert said is not None and said.disagrees, width
        assert said.ratio == pytest.approx(1 / width, rel=0.03)
        assert said.stars >= 5


def test_nothing_is_said_without_stars() -> None:
    for seed in (2, 3, 4):
        said = found(image(stars=0, galaxies=24, seed=seed)[0], 1.0)
        assert said is None or not said.disagrees


def test_hot_pixels_and_saturated_stars_are_not_stars() -> None:
    pixels, _ = image(stars=0, galaxies=6)
    random = np.random.default_rng(5)
    rows, columns = random.integers(10, CELL * ROW - 10, (2, 12))
    pixels[rows, columns] += 50.0
    assert found(pixels, 1.0) is None
    clipped = np.minimum(image(stars=8, galaxies=0)[0], 4.0)
    said = found(clipped, 1.0)
    assert said is None or not said.disagrees


def test_an_image_without_sources_is_no_error() -> None:
    assert found(np.zeros((50, 60)), 1.0) is None
    assert found(np.zeros((3, 3)), 1.0) is None


@pytest.mark.skipif(not is_general(RELEASED), reason="no package is released")
def test_a_wrong_psf_is_told_and_flagged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels, places = image(stars=5, galaxies=3)
    header = fits.Header({"ABZP": 27.0, "BUNIT": "electron/s"})
    fits.writeto(tmp_path / "image.fits", pixels.astype(np.float32), header)
    # Only galaxies are listed: the stars are found in the image.
    places[places["id"] >= 5].to_csv(tmp_path / "list.csv", index=False)
    for width in (1.0, 1.3):
        drawn = PSF.dilate(width).drawImage(nx=61, ny=61, scale=SCALE, method="no_pixel").array
        fits.writeto(tmp_path / "psf.fits", drawn, overwrite=True)
        inputs = Inputs(
            images=[tmp_path / "image.fits"],
            catalog=tmp_path / "list.csv",
            psf=tmp_path / "psf.fits",
            options={"native_pixel_scale": SCALE},
        )
        page = tmp_path / "page.html"
        table = predict(RELEASED, inputs, tmp_path / "out.fits", fast=True, report=page)
        raised = (table["flags"] & int(Flag.PSF_DISAGREES)) > 0
        sentence = fits.getheader(tmp_path / "out.fits", 1)["GA_PSFCH"]
        if width == 1.0:
            assert not raised.any() and sentence == "no disagreement found"
            assert "psf_disagrees" not in page.read_text()
            continue
        assert raised.all()
        assert "5 point sources" in sentence and "--psf-from-stars" in sentence
        assert "too wide" in page.read_text() and "too wide" in capfd.readouterr().err
    assert "--psf-from-stars" in REMEDIES[Flag.PSF_DISAGREES]
