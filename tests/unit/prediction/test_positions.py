"""Positions that are shifted on the whole image are noticed; scattered ones are not."""

from __future__ import annotations

from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.general.package import RELEASED, is_general
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.positions import displaced
from galadapt.prediction.predict import predict


def table(shift: tuple[float, float], scatter: float, number: int = 9) -> pd.DataFrame:
    """Positions, and centres at a distance from them; one object is not measured."""
    random = np.random.default_rng(3)
    places = random.uniform(0, 300, (number, 2))
    centres = places + shift + scatter * random.standard_normal((number, 2))
    centres[0] = np.nan
    values = np.hstack([places, centres])
    return pd.DataFrame(values, columns=["x", "y", "x_centre", "y_centre"]).assign(image="a.fits")


def test_a_common_shift_is_told_with_its_remedy() -> None:
    (text,) = displaced(table((-1.0, -1.0), 0.05), 0.06, pixels=True).values()
    assert "-1.0 px in x and -1.0 px in y (0.084 arcsec)" in text and "median of 8" in text
    assert text.endswith("give --one-based")
    scales = np.r_[np.nan, np.full(8, 0.06)]
    (text,) = displaced(table((1.0, 1.0), 0.05), scales, pixels=True).values()
    assert "(0.086 arcsec)" in text
    assert "leave out --one-based" in text
    (text,) = displaced(table((-1.0, -1.0), 0.05), 0.06, pixels=False).values()
    assert "reference frame" in text and "--one-based" not in text
    (text,) = displaced(table((3.0, 0.0), 0.9), 0.06, pixels=True).values()
    assert "made on this image" in text


def test_no_shift_is_found_where_there_is_none() -> None:
    assert not displaced(table((0.2, 0.1), 0.05), 0.06, pixels=True)
    assert not displaced(table((0.6, 0.6), 2.0), 0.06, pixels=True)
    assert not displaced(table((2.0, 2.0), 0.05, number=5), 0.06, pixels=True)
    assert not displaced(table((2.0, 2.0), 0.05).drop(columns="x_centre"), 0.06, pixels=True)


@pytest.mark.skipif(not is_general(RELEASED), reason="no package is released")
def test_positions_that_count_from_one_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scale, side = 0.2, 60
    psf = galsim.Convolve(galsim.Moffat(beta=3.2, fwhm=0.75), galsim.Pixel(scale))
    pixels = np.random.default_rng(1).normal(0, 0.05, (2 * side, 3 * side))
    places = []
    for number in range(6):
        y, x = side * np.array(divmod(number, 3))
        shift = np.array([0.3, -0.2]) * (number - 2.5) / 2.5
        galaxy = galsim.Convolve(galsim.Exponential(half_light_radius=0.5, flux=400.0), psf)
        pixels[y : y + side, x : x + side] += galaxy.drawImage(
            nx=side, ny=side, scale=scale, method="no_pixel", offset=shift
        ).array
        places.append((number, *(np.array([x, y]) + (side - 1) / 2 + shift + 1)))
    header = fits.Header({"ABZP": 27.0, "BUNIT": "electron/s"})
    fits.writeto(tmp_path / "image.fits", pixels.astype(np.float32), header)
    drawn = psf.drawImage(nx=41, ny=41, scale=scale, method="no_pixel").array
    fits.writeto(tmp_path / "psf.fits", drawn)
    pd.DataFrame(places, columns=["id", "x", "y"]).to_csv(tmp_path / "list.csv", index=False)
    for one_based in (None, True):
        inputs = Inputs(
            images=[tmp_path / "image.fits"],
            catalog=tmp_path / "list.csv",
            psf=tmp_path / "psf.fits",
            one_based=one_based,
            options={"native_pixel_scale": scale},
        )
        page = tmp_path / "page.html"
        predict(RELEASED, inputs, tmp_path / "out.fits", fast=True, report=page)
        card = fits.getheader(tmp_path / "out.fits", 1)["GA_POSCH"]
        said = capfd.readouterr().err
        if one_based:
            assert card == "no shift found" and "from the catalogue's positions" not in said
        else:
            assert "median of 6" in card and card.endswith("give --one-based")
            assert card in said and "-1.0 px in x and -1.0 px in y" in page.read_text()
