"""The same 20 galaxies in the plain form, and what is measured of them in any other.

The plain form: tangent plane, 0.06 arcsec/px, e-/s, ABZP, CSV with id, ra, dec.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from photutils.aperture import CircularAperture

from galadapt.sky import open_mosaic
from galadapt.sky.catalogues import locate, read_objects

SCALE, ZERO_POINT, SIGMA = 0.06, 25.9463, 0.004
SHAPE = (320, 400)
RA, DEC = 150.1, 2.3
_APERTURE = 32.0  #: radius [px of 0.06 arcsec]


@cache
def galaxies() -> pd.DataFrame:
    """19 to 22 mag, effective radius 3 to 8 px; offsets from the middle [arcsec], north up."""
    rng = np.random.default_rng(18)
    count = 20
    table = pd.DataFrame({"id": np.arange(1, count + 1)})
    table["magnitude"] = rng.uniform(19, 22, count)
    table["effective_radius"] = rng.uniform(3, 8, count) * SCALE
    table["sersic_index"] = rng.choice([0.7, 1.0], count)
    table["ellipticity"] = rng.uniform(0, 0.5, count)
    table["position_angle"] = rng.uniform(0, 180, count)
    x, y = np.meshgrid(np.arange(5) - 2, np.arange(4) - 1.5)
    table["west"] = 76 * SCALE * x.ravel() + rng.uniform(-2, 2, count) * SCALE
    table["north"] = 76 * SCALE * y.ravel() + rng.uniform(-2, 2, count) * SCALE
    return table


def tangent(shape=SHAPE, scale=SCALE, ra=RA, dec=DEC, projection="TAN", matrix=None) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cd = np.array([[-scale, 0], [0, scale]]) / 3600 if matrix is None else matrix
    wcs.wcs.set()
    return wcs


def places(ra=RA, dec=DEC) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination of the galaxies around a point [deg]."""
    plane = tangent(ra=ra, dec=dec)
    table = galaxies()
    x = (SHAPE[1] - 1) / 2 + table["west"] / SCALE
    y = (SHAPE[0] - 1) / 2 + table["north"] / SCALE
    return plane.all_pix2world(x, y, 0)


def render(wcs: WCS, shape: tuple[int, int] = SHAPE, ra=RA, dec=DEC, noise=SIGMA) -> np.ndarray:
    """Pixels [e-/s] of the galaxies on any grid, drawn with its local derivatives."""
    pixels = galsim.ImageF(shape[1], shape[0])
    where = wcs.all_world2pix(np.stack(places(ra, dec), axis=1), 0)
    step = 1 / 3600
    for (x, y), row in zip(where, galaxies().itertuples(), strict=True):
        here = np.array(wcs.all_pix2world(x, y, 0))
        east, north = (
            wcs.all_world2pix([here + shift], 0)[0]
            for shift in ((step / np.cos(np.radians(here[1])), 0), (0, step))
        )
        # Pixels per arcsec to the west and to the north, inverted.
        to_pixels = np.stack([-(east - (x, y)), north - (x, y)], axis=1)
        (a, b), (c, d) = np.linalg.inv(to_pixels)
        light = galsim.Sersic(row.sersic_index, half_light_radius=row.effective_radius)
        light = light.shear(g=row.ellipticity / 2, beta=(row.position_angle + 90) * galsim.degrees)
        light = light.withFlux(10 ** (0.4 * (ZERO_POINT - row.magnitude)))
        seen = galsim.Convolve(light, galsim.Gaussian(fwhm=0.18), galsim.Pixel(SCALE))
        side = int(100 * SCALE / np.sqrt(abs(a * d - b * c)))
        stamp = _stamp(seen, (a, b, c, d), side, (x - round(x), y - round(y)))
        stamp.setCenter(round(x) + 1, round(y) + 1)
        overlap = stamp.bounds & pixels.bounds
        pixels[overlap] += stamp[overlap]
    area = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600 / SCALE
    drawn = np.random.default_rng(1).standard_normal(shape, np.float32)
    return pixels.array + np.float32(noise * min(area, 1)) * drawn


def _stamp(seen: galsim.GSObject, local: tuple[float, ...], side: int, offset) -> galsim.ImageF:
    image = galsim.ImageF(2 * side + 1, 2 * side + 1, wcs=galsim.JacobianWCS(*local))
    return seen.drawImage(image, method="no_pixel", offset=offset)


@cache
def plain_pixels() -> np.ndarray:
    pixels = render(tangent())
    pixels.setflags(write=False)
    return pixels


def plain_header(**cards: Any) -> fits.Header:
    header = tangent().to_header()
    header.update(BUNIT="ELECTRONS/S", ABZP=ZERO_POINT, EXPTIME=1000.0)
    for name, value in cards.items():
        if value is None:
            header.remove(name, ignore_missing=True)
        else:
            header[name] = value
    return header


def write_plain(path: Path, pixels: np.ndarray | None = None, **cards: Any) -> Path:
    pixels = plain_pixels() if pixels is None else pixels
    fits.PrimaryHDU(pixels, plain_header(**cards)).writeto(path, overwrite=True)
    return path


def write_catalogue(path: Path, ra=RA, dec=DEC) -> Path:
    right, declination = places(ra, dec)
    table = pd.DataFrame({"id": galaxies()["id"], "ra": right, "dec": declination})
    table.to_csv(path, index=False)
    return path


def measure(image: Path, catalogue: Path, columns=None, units=None, **options: Any) -> pd.DataFrame:
    """Magnitude and half-light radius [arcsec] of each object; NaN where pixels are missing."""
    remarks: list[str] = []
    objects = read_objects(catalogue, columns or {}, units=units or {})
    with open_mosaic(image, pixel_scale=SCALE, remark=remarks.append, **options) as mosaic:
        assert mosaic.zero_point is not None
        data, weight = (plane.astype(float) for plane in mosaic.read())
        x, y = locate(objects, mosaic)
        rows = []
        radii = np.arange(1, _APERTURE + 1) * SCALE / mosaic.pixel_scale
        for place in zip(x, y, strict=True):
            if not np.isfinite(place).all():
                rows.append((np.nan, np.nan, np.nan))
                continue
            light = [CircularAperture(place, radius).do_photometry(data)[0][0] for radius in radii]
            lost = CircularAperture(place, radii[-1]).do_photometry((weight == 0).astype(float))
            half = np.interp(light[-1] / 2, light, radii) * mosaic.pixel_scale
            magnitude = mosaic.zero_point - 2.5 * np.log10(light[-1])
            rows.append((magnitude, half, lost[0][0]))
    found = pd.DataFrame(rows, columns=["magnitude", "radius", "lost"])
    found.insert(0, "id", objects["name"] if "name" in objects else objects["id"])
    found.attrs["remarks"] = remarks
    return found


def assert_same(found: pd.DataFrame, plain: pd.DataFrame, magnitude=0.02, radius=0.03) -> None:
    """Whether the measurements agree: magnitudes [mag], radii as a share."""
    assert len(found) == len(plain)
    np.testing.assert_allclose(found["magnitude"], plain["magnitude"], atol=magnitude)
    np.testing.assert_allclose(found["radius"], plain["radius"], rtol=radius)
