"""Small images of a survey, for the tests of the library and of the workflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SCALE, SIDE, RMS, ZERO_POINT = 0.2, 300, 0.05, 27.0


def wcs_at(ra: float, dec: float, turned: float = 0.0, side: int = SIDE) -> WCS:
    """A tangent plane whose pixels are turned on the sky [deg]."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [(side + 1) / 2] * 2
    c, s = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    wcs.wcs.cd = np.array([[-c, s], [s, c]]) * SCALE / 3600
    return wcs


def write_tile(
    folder: Path, name: str, wcs: WCS, places: Sequence[np.ndarray], seed: int = 5
) -> dict[str, str]:
    """Write a noisy image of round galaxies of flux 60 at x, y [px], its noise and PSF.

    Returns the names of the files, by the keys of a tile.
    """
    image = np.random.default_rng(seed).normal(0, RMS, (SIDE, SIDE))
    y, x = np.indices(image.shape)
    for column, line in zip(*places, strict=True):
        light = np.exp(-0.5 * ((x - column) ** 2 + (y - line) ** 2) / 3.0**2)
        image += 60 * light / (2 * np.pi * 9)
    header = wcs.to_header()
    header["BUNIT"], header["ABZP"] = "electron/s", ZERO_POINT
    fits.writeto(folder / f"{name}.fits", image.astype(np.float32), header, overwrite=True)
    y, x = np.indices((31, 31)) - 15
    fits.writeto(folder / "psf.fits", np.exp(-0.5 * (x**2 + y**2) / 1.7**2), overwrite=True)
    noise = np.full((SIDE, SIDE), RMS, np.float32)
    fits.writeto(folder / "rms.fits", noise, overwrite=True)
    return {"image": f"{name}.fits", "rms": "rms.fits", "psf": "psf.fits"}
