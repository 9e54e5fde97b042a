"""A PSF that is not the image's is noticed; the right one is not doubted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.config.image import FitsPsf
from galadapt.core.errors import DataError
from galadapt.general.package import RELEASED, is_general
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.flags import REMEDIES, Flag
from galadapt.prediction.point_sources import Cores
from galadapt.prediction.predict import predict
from galadapt.prediction.psf_check import Verdict, verdict
from galadapt.prediction.psf_stars import psf_from_stars
from galadapt.simulation.psf import fwhm, make_psf
from galadapt.tasks.galaxies.fitting.check import fit_check

SCALE, RMS, CELL, ROW = 0.2, 0.05, 40, 6

#: Of the images: 0.75 arcsec wide, 3.9 px with the pixel.
PSF = galsim.Convolve(galsim.Moffat(beta=3.2, fwhm=0.75).shear(g1=0.04), galsim.Pixel(SCALE))


@dataclass
class Pixels:
    """An open image, as far as it is read here."""

    data: np.ndarray
    pixel_scale: float = SCALE
    path: Path = Path("image.fits")

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
    cores = Cores(PSF.dilate(width), SCALE)
    return verdict(cores, next(cores.of_image(Pixels(pixels))))


def test_stars_show_a_psf_that_is_too_wide_or_too_narrow() -> None:
    pixels, _ = image(stars=6)
    right = found(pixels, 1.0)
    assert right is None or not right.disagrees
    for width in (1.2, 1 / 1.2, 1.6):
        said = found(pixels, width)
        assert said is not None and said.disagrees, width
        assert said.ratio == pytest.approx(1 / width, rel=0.03)
        assert said.stars >= 5


def test_stars_show_a_psf_that_is_turned() -> None:
    pixels, _ = image(stars=6)
    turned = PSF.rotate(90 * galsim.degrees)
    # PSFs vary in a field: an ellipticity that differs by 0.04 is no reason to doubt.
    nearly = Cores(PSF.shear(g1=-0.02), SCALE)
    said = verdict(nearly, next(nearly.of_image(Pixels(pixels))))
    assert said is not None and not said.disagrees
    cores = Cores(turned, SCALE)
    said = verdict(cores, next(cores.of_image(Pixels(pixels))))
    assert said is not None and said.disagrees and not said.other_width
    # The shear of 0.04 along x is an ellipticity of 0.08 there, and was one along y.
    assert said.elongation == pytest.approx((0.14, 0.0), abs=0.03)
    assert "another shape" in said.sentence() and "turned or flipped" in said.sentence()


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


def made(
    pixels: np.ndarray, path: Path, given: galsim.GSObject | None
) -> tuple[galsim.GSObject, str]:
    """The PSF that is made of an image's stars, and how."""
    _, sampling = psf_from_stars(Pixels(pixels), path, given)  # type: ignore[arg-type]
    method = fits.getheader(path)["METHOD"]
    return make_psf(FitsPsf(path=str(path), pixel_scale=sampling), SCALE), method


def displaced(psf: galsim.GSObject) -> float:
    """Share of the light of a PSF that lies elsewhere than that of the images' PSF."""
    right, drawn = (
        one.drawImage(nx=41, ny=41, scale=SCALE, method="no_pixel").array for one in (PSF, psf)
    )
    return float(np.abs(drawn - right).sum()) / 2


def test_the_stars_that_the_check_finds_make_a_psf(tmp_path: Path) -> None:
    pixels, _ = image(stars=14, galaxies=8)
    wrong = PSF.dilate(1.3).shear(g1=0.05)
    said = found(pixels, 1.3)
    stretched, how = made(pixels, tmp_path / "psf.fits", wrong)
    assert said is not None and said.stars == 14
    assert how == "the PSF given, stretched by 0.769 and sheared, of 14 stars"
    assert fwhm(stretched, SCALE) == pytest.approx(fwhm(PSF, SCALE), rel=0.01)
    assert displaced(stretched) < 0.005 < 0.15 < displaced(wrong)
    # Four stars reach beyond the image. A Gaussian has no wings: the stars themselves are better.
    for given in (None, galsim.Gaussian(fwhm=1.0)):
        built, how = made(pixels, tmp_path / "psf.fits", given)
        assert how == "built by EPSFBuilder, of 10 stars"
        assert displaced(built) < 0.03


def test_three_stars_are_too_few_without_a_psf(tmp_path: Path) -> None:
    pixels, _ = image(stars=3)
    with pytest.raises(DataError, match=r"no 4 unsaturated .* leave --psf-from-stars out"):
        made(pixels, tmp_path / "psf.fits", None)
    assert not list(tmp_path.iterdir())
    # Narrower than a PSF that galaxies were seen through, they are no galaxies.
    stretched, how = made(pixels, tmp_path / "psf.fits", PSF.dilate(1.3))
    assert how.endswith("of 3 stars") and displaced(stretched) < 0.02


def test_stars_are_searched_from_the_middle_outwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galadapt.prediction.point_sources._PIECE", 2 * CELL)
    pixels, places = image(stars=6, galaxies=0)
    pieces = list(Cores(PSF, SCALE).of_image(Pixels(pixels)))
    assert len(pieces) == 9
    middle = pieces[0][["x", "y"]].to_numpy()
    assert len(middle) and ((middle > 2 * CELL) & (middle < 4 * CELL)).all()
    seen = pd.concat(pieces)
    assert len(seen) == 6
    for x, y in places[["x", "y"]].to_numpy():
        assert np.hypot(seen["x"] - x, seen["y"] - y).min() < 0.1


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
        # The remedy that is named ends the disagreement.
        again = dataclasses.replace(inputs, psf_from_stars=tmp_path / "made.fits")
        table = predict(RELEASED, again, tmp_path / "out.fits", fast=True, report=page)
        assert not (table["flags"] & int(Flag.PSF_DISAGREES)).any()
        header = fits.getheader(tmp_path / "out.fits", 1)
        assert "stretched by 0.769 and sheared, of 5 stars" in header["GA_PSF"]
        assert "of 5 stars" in page.read_text() and "made.fits: PSF of 5" in capfd.readouterr().err
        report = fit_check(RELEASED, inputs, tmp_path / "fits.csv", sample=2)
        assert report.attrs["verdict"].startswith("Verdict: none with this PSF")
        assert "5 point sources" in report.attrs["verdict"]
    assert "--psf-from-stars" in REMEDIES[Flag.PSF_DISAGREES]
