"""Where the mosaics of a survey have data, and which of them an object is best on.

A footprint is the mosaic's WCS and a coarse map of the share of good pixels, so that the frame of a
turned image and large holes count as edges.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from galadapt.config.measure import MeasureCatalogue, MeasureOptions, Tile
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import (
    canonical_json,
    expand,
    read_json,
    write_csv,
    write_parquet,
    write_text,
)
from galadapt.core.interface import plain, spelling
from galadapt.core.log import log
from galadapt.core.provenance import file_digest
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.inputs import prepare
from galadapt.prediction.stamps import ImageStamps, brightening
from galadapt.prediction.survey.listed import MAPS, files_of
from galadapt.sky import Mosaic
from galadapt.sky.sky import Sky

#: Most blocks along a side of the map of good pixels.
_BLOCKS = 64

#: Share of good pixels from which on a block counts as covered.
_COVERED = 0.5

#: What `made` may contain.
SOURCES, PSF = "sources.parquet", "psf.fits"

#: What the settings of a survey call the options of `galadapt predict`.
OPTIONS = plain((*Tile.model_fields, *MeasureOptions.model_fields, *MeasureCatalogue.model_fields))


def inputs_of(tile: Tile, catalog: Path | None, options: MeasureOptions, made: Path) -> Inputs:
    """Return the inputs of `galadapt.prediction.predict` for objects of a tile."""
    given = {kind: getattr(tile, kind) for kind in MAPS}
    opened = {
        **{key: getattr(tile, key) for key in ("hdu", "zero_point", "unit", "native_pixel_scale")},
        "bad_bits": tile.bad_bits,
        "invert_mask": tile.mask_good or None,
    }
    stars = made / PSF if tile.psf_from_stars else None
    known = stars is not None and stars.is_file()
    psf = stars if known else expand(tile.psf) if tile.psf else None
    return Inputs(
        images=[expand(tile.image)],
        catalog=catalog,
        maps={kind: [expand(path)] for kind, path in given.items() if path is not None},
        psf=psf,
        psf_from_stars=None if known else stars,
        psf_hdu=None if known else tile.psf_hdu,
        psf_pixel_scale=None if known else tile.psf_pixel_scale,
        options={name: value for name, value in opened.items() if value is not None},
        max_bad_fraction=options.max_bad_fraction,
        partial=True,
    )


def inspect(
    tile: Tile,
    package: Path,
    options: MeasureOptions,
    search: bool,
    skip: bool,
    output: Path,
    made: Path,
) -> None:
    """Open a tile as a measurement does, and write its footprint.

    Args:
        tile: With its name.
        package: Folder of the package.
        options: Of the measurement.
        search: Whether its sources are to be found, into `made`.
        skip: Whether a tile that cannot be used is noted, instead of an error.
        output: JSON: the tile, digests of its files, WCS, shape, share of good pixels in blocks.
        made: Folder of the sources (id, ra, dec) and of the PSF made of stars, where asked for.

    Raises:
        DataError: the tile cannot be measured, for the reason named.
    """
    made.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"tile": tile.model_dump(mode="json"), "problem": None}
    try:
        with spelling(OPTIONS):
            found["footprint"] = _footprint(tile, package, options, search, made)
        found["files"] = [file_digest(path) for path in (*files_of(tile), *sorted(made.iterdir()))]
    except (DataError, ConfigError) as error:
        sentence = f"tile {tile.name}: {error}"
        if not skip:
            raise DataError(sentence) from None
        log.info(f"{sentence}; left out (measure.skip_unreadable)")
        found["problem"] = str(error)
    write_text(output, canonical_json(found) + "\n")


def _footprint(
    tile: Tile, package: Path, options: MeasureOptions, search: bool, made: Path
) -> dict[str, Any]:
    with TemporaryDirectory(prefix="galadapt-") as folder:
        somewhere = Path(folder, "somewhere.csv")
        write_csv(somewhere, pd.DataFrame({"id": [1], "x": [0.0], "y": [0.0]}))
        inputs = inputs_of(tile, None if search else somewhere, options, made)
        prepared = prepare(package, inputs)
    (source,) = prepared.sources
    assert isinstance(source, ImageStamps)
    record = prepared.package.record
    # Footprints are in the file's own pixels, whatever the network's are.
    own = dataclasses.replace(source, record=record.model_copy(update={"pixel_scale": None}))
    with own.open() as mosaic:
        brightening(record, mosaic.zero_point, mosaic.path)
        if mosaic.celestial is None:
            raise DataError(f"{mosaic.path}: no celestial WCS; a tile of a survey needs one")
        if search:
            x, y = (prepared.objects[axis].to_numpy(float) for axis in ("x", "y"))
            ra, dec = mosaic.sky(x, y)
            # Numbers of different tiles are no names of objects.
            names = [f"{tile.name}_{number}" for number in prepared.objects["id"]]
            write_parquet(made / SOURCES, pd.DataFrame({"id": names, "ra": ra, "dec": dec}))
        share = _share_of_good(mosaic)
        return {
            "wcs": mosaic.celestial.to_header_string(relax=True),
            "shape": list(mosaic.shape),
            "pixel_scale": mosaic.pixel_scale,
            "good": np.ceil(100 * share).astype(int).tolist(),
        }


def _block(shape: Sequence[int]) -> int:
    """Side of a block of the map of good pixels [px]."""
    return max(-(-max(shape) // _BLOCKS), 1)


def _share_of_good(mosaic: Mosaic) -> np.ndarray:
    """Share of pixels with data and weight, in blocks; the image is read in bands."""
    (ny, nx), block = mosaic.shape, _block(mosaic.shape)
    columns = np.arange(0, nx, block)
    widths = np.diff(np.append(columns, nx))
    rows = []
    for y0 in range(0, ny, block):
        y1 = min(y0 + block, ny)
        good = (mosaic.read(y0, y1, 0, nx)[1] > 0).sum(axis=0)
        rows.append(np.add.reduceat(good, columns) / (widths * (y1 - y0)))
    return np.stack(rows)


@dataclass(frozen=True)
class Footprint:
    """Where a tile has data."""

    tile: Tile
    problem: str | None  #: Why it cannot be used; nothing else is known then.
    scale: float = 0.0  #: [arcsec/px]
    sky: Sky | None = None
    shape: tuple[int, int] = (0, 0)  #: ny, nx
    #: Distance of each block from the next one without data [px]; 0 where half of it is bad, NaN
    #: where all is.
    room: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))
    centre: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))  #: unit vector
    radius: float = 0.0  #: of a sphere around the centre that holds all of it (chord)

    @classmethod
    def read(cls, path: Path) -> Footprint:
        """Read what `inspect` wrote."""
        found = read_json(path)
        tile, problem = Tile.model_validate(found["tile"]), found["problem"]
        if problem is not None:
            return cls(tile, problem)
        known = found["footprint"]
        ny, nx = known["shape"]
        share = np.array(known["good"]) / 100
        covered = share > _COVERED
        room = np.where(covered, np.inf, 0.0)
        if not covered.all():
            away = (distance_transform_edt(covered) - 0.5) * _block((ny, nx))
            room = np.where(covered, away, 0.0)
        room[share == 0] = np.nan
        sky = Sky(WCS(fits.Header.fromstring(known["wcs"])))
        # Sides and diagonals: the outline may be curved.
        x, y = (k.ravel() for k in np.meshgrid(np.linspace(-1, nx, 9), np.linspace(-1, ny, 9)))
        outline = vectors(*sky.pixel_to_world_values(x, y))
        outline = outline[np.isfinite(outline).all(axis=1)]
        centre = outline.mean(axis=0)
        centre /= np.linalg.norm(centre)
        radius = 1.05 * float(np.linalg.norm(outline - centre, axis=1).max())
        return cls(tile, None, known["pixel_scale"], sky, (ny, nx), room, centre, radius)

    def room_at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Distance of positions [deg] from the edge of the data [arcsec].

        NaN where the image has no data, -inf beyond it.
        """
        assert self.sky is not None
        x, y = self.sky.world_to_pixel_values(ra, dec)
        ny, nx = self.shape
        edge = np.min([x + 0.5, nx - 0.5 - x, y + 0.5, ny - 0.5 - y], axis=0)
        inside = np.isfinite(edge) & (edge > 0)
        found = np.full(len(x), -np.inf)
        block = _block(self.shape)
        line, column = ((np.round(k[inside]).astype(int)) // block for k in (y, x))
        found[inside] = np.minimum(self.room[line, column], edge[inside]) * self.scale
        return found


def vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) of directions [deg]."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def assign(
    footprints: Sequence[Footprint], ra: np.ndarray, dec: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the tile that covers each position best: where it is farthest from the edge of the data.

    Args:
        footprints: Of the tiles; at the same distance the first wins.
        ra, dec: Positions (n,) [deg]; NaN where unknown.

    Returns:
        Number of the tile (n,), -1 where none covers it; and then why: "no_position", "outside" of
        all tiles, or "no_data" on those it lies on.
    """
    best, room = np.full(len(ra), -1), np.full(len(ra), -np.inf)
    seen = np.zeros(len(ra), bool)
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known):
        tree = cKDTree(vectors(ra[known], dec[known]))
        for number, one in enumerate(footprints):
            near = [] if one.problem else tree.query_ball_point(one.centre, one.radius)
            rows = known[np.array(near, int)]
            if len(rows) == 0:
                continue
            found = one.room_at(ra[rows], dec[rows])
            seen[rows] |= found != -np.inf
            better = found > room[rows]
            best[rows[better]], room[rows[better]] = number, found[better]
    reason = np.full(len(ra), "no_position", dtype=object)
    reason[known] = np.where(seen[known], "no_data", "outside")
    reason[best >= 0] = ""
    return best, reason
