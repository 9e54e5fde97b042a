"""Images whose galaxies are known, as users bring them: mosaics of any grid, and tight cutouts.

Galaxies are drawn by GalSim, not by the renderers of the training, through the real PSF of F160W
mosaics. Everything follows from one seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from galadapt.config.image import FitsPsf
from galadapt.config.simulation import Noise
from galadapt.core.photometry import flux_of
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve
from galadapt.simulation.psf import make_psf

ZERO_POINT = 25.9463

#: Pixel scale of the plain images, and of the PSF's file [arcsec].
SCALE = 0.06

#: Pointing of all mosaics [deg], and their side [arcsec].
RA, DEC = 150.1, 2.2

#: Side of the square each galaxy has to itself [arcsec].
SPACING = 9.0

#: What an image has more than these squares [arcsec].
_AROUND = 6.0

#: Galaxies are drawn on squares of this side [arcsec]: the wings of n = 4 need them.
_DRAWN = 30.0

#: GalSim's folding must stay below the noise.
_GSPARAMS = galsim.GSParams(maximum_fft_size=16384, folding_threshold=1e-3)

#: Keys of the random streams of a scene.
_PLACES, _NOISE = 0, 1


@dataclass(frozen=True)
class Grid:
    """How a mosaic lies on the sky."""

    scale: float = SCALE  #: [arcsec/px]
    turn: float = 0.0  #: [deg] from north up, east left
    flipped: bool = False  #: east right

    def wcs(self, side: int) -> WCS:
        """Tangent projection of a square image."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [RA, DEC]
        wcs.wcs.crpix = [(side + 1) / 2] * 2
        wcs.wcs.cd = self.matrix / 3600
        return wcs

    @property
    def matrix(self) -> np.ndarray:
        """East and north [arcsec] of a step of one pixel along x and y."""
        angle = np.radians(self.turn)
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return turned @ np.diag([1.0 if self.flipped else -1.0, 1.0]) * self.scale


def psf_on_sky(path: Path) -> galsim.GSObject:
    """The effective PSF of F160W mosaics, on a sky with north up and east left [arcsec]."""
    return make_psf(FitsPsf(path=str(path), pixel_scale=SCALE), SCALE)


def clean(seed: int) -> pd.DataFrame:
    """36 single galaxies of 19 to 22.5 mag, a third each of index 1, 2 and 4."""
    random = np.random.default_rng([seed, _PLACES])
    count = 36
    table = pd.DataFrame({"magnitude": np.repeat(np.linspace(19, 22.5, 12), 3)})
    table["sersic_index"] = np.tile([1.0, 2.0, 4.0], 12)
    table["effective_radius_arcsec"] = random.uniform(0.18, 0.48, count)
    return _placed(table, random)


def faint(seed: int) -> pd.DataFrame:
    """36 galaxies of 23.2 to 25.2 mag: from just inside a survey's limit to below its noise."""
    random = np.random.default_rng([seed, _PLACES, 1])
    count = 36
    table = pd.DataFrame({"magnitude": np.resize([23.2, 23.7, 24.2, 24.7, 25.2], count)})
    table["sersic_index"] = np.resize([1.0, 2.0, 4.0], count)
    table["effective_radius_arcsec"] = random.uniform(0.15, 0.42, count)
    return _placed(table, random)


def odd(seed: int) -> pd.DataFrame:
    """What is no galaxy, and galaxies cut by the edge of the image.

    Stars from 18 to 24 mag; catalogue positions on nothing but noise; lines one pixel wide, as of
    diffraction; galaxies whose centre lies within 2 arcsec of the edge.
    """
    random = np.random.default_rng([seed, _PLACES, 2])
    kinds = ["star"] * 10 + ["noise"] * 8 + ["spike"] * 6 + ["edge"] * 12
    table = pd.DataFrame({"kind": kinds})
    count = len(table)
    table["magnitude"] = random.uniform(19.5, 22.5, count)
    table.loc[table["kind"] == "star", "magnitude"] = np.linspace(18, 24, 10)
    table["sersic_index"] = np.resize([1.0, 2.0, 4.0], count)
    table["effective_radius_arcsec"] = random.uniform(0.18, 0.48, count)
    table = _placed(table, random)
    edge = np.flatnonzero(table["kind"] == "edge")
    half = side_of(table) / 2
    for number, row in enumerate(edge):
        along, depth = random.uniform(-half + 6, half - 6), random.uniform(-0.1, 2.0)
        place = [(half - depth), along] if number % 2 else [along, (half - depth)]
        sign = -1 if number % 4 > 1 else 1
        table.loc[row, ["east", "north"]] = sign * np.array(place)
    return table


def _placed(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Add identifiers, ellipticities, angles and places (offsets from the middle) [arcsec]."""
    count = len(table)
    table.insert(0, "id", np.arange(1, count + 1))
    if "kind" not in table:
        table["kind"] = "galaxy"
    table["ellipticity"] = random.uniform(0.05, 0.7, count)
    table["angle"] = random.uniform(0, 180, count)
    line = int(np.ceil(np.sqrt(count)))
    places = np.stack(np.divmod(np.arange(count), line), axis=1) - (line - 1) / 2
    table[["east", "north"]] = places * SPACING + random.uniform(-0.5, 0.5, (count, 2))
    return table


def side_of(table: pd.DataFrame) -> float:
    """Side of the image that holds a table's galaxies [arcsec], with sky around them."""
    return int(np.ceil(np.sqrt(len(table)))) * SPACING + _AROUND


@dataclass(frozen=True)
class Files:
    """A scene on disk."""

    image: Path
    catalogue: Path
    psf: Path
    truth: pd.DataFrame


def write_mosaic(
    folder: Path, table: pd.DataFrame, psf: galsim.GSObject, drop: float, seed: int, grid: Grid
) -> Files:
    """Draw a table's objects on a mosaic, and write it with catalogue and PSF.

    Args:
        drop: Side of the drizzled drop [px of `SCALE`]; 0: white noise. Of other grids the noise
            is white: it has the depth of the plain image's per area.
        grid: How the mosaic lies on the sky; a turned one has corners without data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    extent = side_of(table)
    side = round(extent * (1.42 if grid.turn else 1.0) / grid.scale)
    wcs = grid.wcs(side)
    to_pixels = np.linalg.inv(grid.matrix)
    middle = (side - 1) / 2
    places = middle + table[["east", "north"]].to_numpy() @ to_pixels.T
    seen = _on_grid(psf, grid)
    image = np.zeros((side, side))
    for row, (x, y) in zip(table.to_dict("records"), places, strict=True):
        _draw(image, row, x, y, seen, grid)
    noise = resolve(Noise())
    levels = NoiseLevels(
        noise.pixel_rms * grid.scale / SCALE, noise.exposure_time, drop, source_poisson=True
    )
    image = add_noise(image, levels, np.random.default_rng([seed, _NOISE]))
    if grid.turn:
        # The exposed square, seen on the turned grid: nothing was observed in the corners.
        rows, columns = np.indices(image.shape) - middle
        sky = np.stack([columns, rows], axis=-1) @ grid.matrix.T
        image[(np.abs(sky) > extent / 2).any(axis=-1)] = np.nan
    header = wcs.to_header()
    header["BUNIT"], header["ABZP"] = "ELECTRONS/S", ZERO_POINT
    header["EXPTIME"] = noise.exposure_time
    files = Files(folder / "drz.fits", folder / "catalogue.csv", folder / "psf.fits", table)
    fits.PrimaryHDU(image.astype(np.float32), header).writeto(files.image, overwrite=True)
    ra, dec = wcs.pixel_to_world_values(*places.T)
    catalogue = pd.DataFrame({"id": table["id"], "ra": ra, "dec": dec})
    catalogue.to_csv(files.catalogue, index=False, float_format="%.9f")
    write_psf(files.psf, seen, grid.scale)
    return files


def write_psf(path: Path, psf: galsim.GSObject, scale: float) -> None:
    """Write a PSF's image at the scale of its mosaic, which the header names in CDELT."""
    side = 2 * int(3.0 / scale) + 1
    pixels = psf.drawImage(nx=side, ny=side, scale=scale, method="no_pixel").array
    header = fits.Header({"CDELT1": -scale / 3600, "CDELT2": scale / 3600})
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    fits.PrimaryHDU((pixels / pixels.sum()).astype(np.float32), header).writeto(
        path, overwrite=True
    )


def _on_grid(psf: galsim.GSObject, grid: Grid) -> galsim.GSObject:
    """The PSF along the axes of a grid [arcsec]; coarse pixels blur it."""
    # From the axes of the plain grid, x to the west, through the sky's to this one's.
    matrix = np.linalg.inv(grid.matrix / grid.scale) @ (Grid().matrix / SCALE)
    seen = psf.transform(*matrix.ravel())
    if grid.scale > SCALE:
        seen = galsim.Convolve(seen, galsim.Pixel(grid.scale))
    return seen


def angle_on_grid(angle: float, grid: Grid) -> float:
    """Angle [deg] from +y, counter-clockwise, of a position angle (north through east)."""
    east, north = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    x, y = np.linalg.inv(grid.matrix) @ np.array([east, north])
    return float(np.degrees(np.arctan2(-x, y)))


def profile_of(row: dict[str, object], grid: Grid) -> galsim.GSObject:
    """An object before the PSF [arcsec, along the grid]."""
    flux = float(flux_of(row["magnitude"], ZERO_POINT))
    if row["kind"] == "star":
        return galsim.DeltaFunction(flux=flux)
    q = 1 - float(row["ellipticity"])
    angle = angle_on_grid(float(row["angle"]), grid) + 90
    return galsim.Sersic(
        n=float(row["sersic_index"]),
        half_light_radius=float(row["effective_radius_arcsec"]) * np.sqrt(q),
        flux=flux,
        gsparams=_GSPARAMS,
    ).shear(q=q, beta=angle * galsim.degrees)


def _draw(
    image: np.ndarray, row: dict[str, object], x: float, y: float, psf: galsim.GSObject, grid: Grid
) -> None:
    """Add one object to an image."""
    if row["kind"] == "noise":
        return
    if row["kind"] == "spike":
        reach = int(2.4 / grid.scale)
        column, low = round(x), round(y) - reach
        flux = float(flux_of(row["magnitude"], ZERO_POINT))
        image[low : low + 2 * reach + 1, column] += flux / (2 * reach + 1)
        return
    side = int(_DRAWN / grid.scale) | 1
    left, low = round(x) - side // 2, round(y) - side // 2
    offset = x - left - (side - 1) / 2, y - low - (side - 1) / 2
    drawn = galsim.Convolve(profile_of(row, grid), psf, gsparams=_GSPARAMS).drawImage(
        nx=side, ny=side, scale=grid.scale, method="no_pixel", offset=offset, dtype=float
    )
    ny, nx = image.shape
    y0, y1, x0, x1 = max(low, 0), min(low + side, ny), max(left, 0), min(left + side, nx)
    if y0 < y1 and x0 < x1:
        image[y0:y1, x0:x1] += drawn.array[y0 - low : y1 - low, x0 - left : x1 - left]


def write_cutouts(folder: Path, psf: galsim.GSObject, seed: int, side: int = 66) -> Files:
    """Tight frames as fitters take them: index 1 and 4, radius 0.3 and 0.6 arcsec, three of each.

    White noise of the plain images' depth; the sky is zero, and nothing says so.
    """
    (folder / "cutouts").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, _PLACES, 3])
    kinds = [(n, re) for n in (1.0, 4.0) for re in (0.3, 0.6)] * 3
    table = pd.DataFrame(kinds, columns=["sersic_index", "effective_radius_arcsec"])
    table["magnitude"] = np.repeat([19.5, 20.5, 21.5], 4)
    table["kind"] = "galaxy"
    table["ellipticity"] = random.uniform(0.1, 0.6, len(table))
    table["angle"] = random.uniform(0, 180, len(table))
    table.insert(0, "id", [f"g{number:02d}" for number in range(len(table))])
    noise = resolve(Noise())
    levels = NoiseLevels(noise.pixel_rms, noise.exposure_time, 0.0, source_poisson=True)
    grid = Grid()
    for number, row in enumerate(table.to_dict("records")):
        image = np.zeros((side, side))
        _draw(image, row, (side - 1) / 2, (side - 1) / 2, psf, grid)
        image = add_noise(image, levels, np.random.default_rng([seed, _NOISE, number]))
        header = grid.wcs(side).to_header()
        header["BUNIT"], header["ABZP"] = "ELECTRONS/S", ZERO_POINT
        path = folder / "cutouts" / f"{row['id']}.fits"
        fits.PrimaryHDU(image.astype(np.float32), header).writeto(path, overwrite=True)
    write_psf(folder / "psf.fits", _on_grid(psf, grid), grid.scale)
    return Files(folder / "cutouts", folder / "none", folder / "psf.fits", table)
