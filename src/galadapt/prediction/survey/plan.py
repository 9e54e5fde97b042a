"""Which tile measures which object, and the jobs: each has objects of one tile and one cell.

Catalogues are read in pieces and spilled by tile, so that the memory needed is that of a piece, or
of the objects of one tile.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.io import fits
from astropy_healpix import lonlat_to_healpix
from scipy.spatial import cKDTree

from galadapt.config.measure import MeasureCatalogue
from galadapt.core.errors import DataError, GaladaptError, reading
from galadapt.core.files import atomic, write_csv
from galadapt.core.log import log
from galadapt.prediction.flags import Flag
from galadapt.prediction.survey.tiles import SOURCES, Footprint, assign, vectors
from galadapt.sky.catalogues import read_objects

#: Rows of a piece of a catalogue.
PIECE = 100_000

#: HEALPix order of the column that objects are sorted by, and its name in HATS catalogues.
FINEST, SKY_COLUMN = 29, "_healpix_29"


def healpix(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Number of the smallest HEALPix cell (n,), nested, of directions [deg]."""
    return np.asarray(lonlat_to_healpix(ra * u.deg, dec * u.deg, 2**FINEST, order="nested"))


def cell_of(finest: np.ndarray, order: int) -> np.ndarray:
    """Turn numbers of the smallest cells into those of a coarser order."""
    return finest >> 2 * (FINEST - order)


def job_files(jobs: pd.DataFrame, folder: Path, suffix: str) -> list[Path]:
    """Name the files of jobs in a folder, one for each row of their table."""
    places = zip(jobs["tile"], jobs["cell"], jobs["part"], strict=True)
    return [folder / str(tile) / f"{cell}-{part}{suffix}" for tile, cell, part in places]


def pieces(path: Path, table: int | str | None, rows: int) -> Iterator[Path]:
    """Split a catalogue into files of its own kind of at most so many rows.

    Parquet, CSV and FITS (plain, one table) are split; anything else is one piece.
    """
    with TemporaryDirectory(prefix="galadapt-") as folder:
        piece = Path(folder, path.name)
        with reading(path, "cannot be read", "check it", OSError), path.open("rb") as file:
            start = file.read(2880)
        if start.startswith(b"PAR1"):
            with pq.ParquetFile(path) as source:
                for batch in source.iter_batches(rows):
                    pq.write_table(pa.Table.from_batches([batch], source.schema_arrow), piece)
                    yield piece
        elif start.startswith(b"SIMPLE  ="):
            yield from _pieces_of_fits(path, table, rows, piece)
        elif start[:1].isalpha() and b"," in start.partition(b"\n")[0] and b"\x00" not in start:
            with path.open(encoding="utf-8-sig") as source:
                header = next(source)
                while lines := list(itertools.islice(source, rows)):
                    piece.write_text("".join([header, *lines]), encoding="utf-8")
                    yield piece
        else:
            yield path


def _pieces_of_fits(path: Path, table: int | str | None, rows: int, piece: Path) -> Iterator[Path]:
    with fits.open(path, memmap=True) as hdus:
        tables = [
            hdu
            for hdu in hdus
            if isinstance(hdu, fits.BinTableHDU) and not isinstance(hdu, fits.CompImageHDU)
        ]
        if len(tables) != 1 or table is not None or len(tables[0].data) <= rows:
            yield path
            return
        for start in range(0, len(tables[0].data), rows):
            part = tables[0].data[start : start + rows]
            fits.BinTableHDU(part, tables[0].header).writeto(piece, overwrite=True)
            yield piece


def read_pieces(path: Path, about: MeasureCatalogue, rows: int = PIECE) -> Iterator[pd.DataFrame]:
    """Read a catalogue in pieces: id (int64 or text), ra, dec [deg].

    Raises:
        DataError: it is no catalogue, or has no positions on the sky.
    """
    count = 0
    for piece in pieces(path, about.table, rows):
        try:
            found = read_objects(
                piece, about.columns, units=about.units, table=about.table, whole=False
            )
        except GaladaptError as error:
            raise type(error)(str(error).replace(str(piece), str(path))) from None
        if "ra" not in found:
            raise DataError(f"{path}: has no columns for ra and dec; name them in columns")
        if found.attrs["numbered"]:
            found["id"] += count
        elif "name" in found:
            found["id"] = found["name"]
        count += len(found)
        yield found[["id", "ra", "dec"]]


def plan(
    tiles: Sequence[Path],
    catalogues: Sequence[tuple[Path, MeasureCatalogue]],
    order: int,
    most: int,
    objects: Path,
    jobs: Path,
    unmeasured: Path,
) -> None:
    """Give every object to a tile and a job.

    Args:
        tiles: JSON of every tile, each in its own folder; see
            `galadapt.prediction.survey.tiles.inspect`.
        catalogues: Files and their settings; none: the sources found in the tiles.
        order: HEALPix order of the cells.
        most: Objects of a job.
        objects: Folder to write: ``<tile>/<cell>-<part>.parquet`` with the smallest HEALPix cell,
            id, catalogue, ra, dec, and flags known from the other objects of the tile.
        jobs: CSV to write: tile, cell, part, objects.
        unmeasured: Parquet to write: id, catalogue, ra, dec, reason of the objects on no tile.

    Raises:
        DataError: a catalogue cannot be read, or no object lies on a tile.
    """
    # Sorted: the order of a list changes nothing.
    footprints = sorted(map(Footprint.read, tiles), key=lambda one: str(one.tile.name))
    names = [str(one.tile.name) for one in footprints]
    sources = {path.parent.name: path.with_name("made") / SOURCES for path in tiles}
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "catalogue", "reason")),
            *((name, pa.float64()) for name in ("ra", "dec")),
        ]
    )
    counts: Counter[str] = Counter()
    objects.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".spill-", dir=objects.parent) as folder:
        spill = Path(folder)
        # What is needed of the identifiers: whole numbers stay what they are only if all are.
        as_text = False
        with atomic(unmeasured) as temporary, pq.ParquetWriter(temporary, schema) as lost:
            for number, (piece, owner) in enumerate(_all_pieces(sources, names, catalogues)):
                as_text |= piece["id"].dtype.kind not in "iu"
                best, reason = assign(footprints, *(piece[k].to_numpy() for k in ("ra", "dec")))
                if owner is not None:
                    # Sources that several tiles show are those of the best.
                    mine = best == owner
                    counts["on another tile"] += int((~mine).sum())
                    best, reason = np.where(mine, best, -1), np.where(mine, reason, "twice")
                piece["reason"] = reason
                gone = piece[(best < 0) & (reason != "twice")]
                counts.update(gone["reason"])
                lost.write_table(
                    pa.Table.from_pandas(gone.astype({"id": str}), schema, preserve_index=False)
                )
                for tile in np.unique(best[best >= 0]).tolist():
                    there = spill / names[tile]
                    there.mkdir(exist_ok=True)
                    piece[best == tile].drop(columns="reason").to_parquet(
                        there / f"{number:06d}.parquet", index=False
                    )
        rows = []
        with atomic(objects) as made:
            made.mkdir()
            for one in footprints:
                name = str(one.tile.name)
                parts = [pd.read_parquet(path) for path in sorted((spill / name).glob("*"))]
                if parts:
                    table = pd.concat(parts, ignore_index=True)
                    rows += _jobs_of(table, one, order, most, as_text, made / name)
            if not rows:
                listed = ", ".join(f"{count} {why}" for why, count in counts.items())
                raise DataError(
                    f"measure: no object lies on a tile ({listed}); check that catalogues and "
                    "mosaics belong together, and the columns ra and dec"
                )
    table = pd.DataFrame(rows, columns=["tile", "cell", "part", "objects"])
    write_csv(jobs, table)
    listed = "".join(f", {count} {why}" for why, count in sorted(counts.items()))
    log.info(f"{jobs}: {table['objects'].sum()} objects in {len(table)} jobs{listed}")


def _all_pieces(
    sources: Mapping[str, Path],
    names: Sequence[str],
    catalogues: Sequence[tuple[Path, MeasureCatalogue]],
) -> Iterator[tuple[pd.DataFrame, int | None]]:
    """Pieces of all catalogues, or the sources of every tile with its number."""
    for path, about in catalogues:
        for piece in read_pieces(path, about):
            yield piece.assign(catalogue=path.name), None
    for number, name in enumerate([] if catalogues else names):
        if sources[name].is_file():
            yield pd.read_parquet(sources[name]).assign(catalogue=name), number


def _jobs_of(
    table: pd.DataFrame, tile: Footprint, order: int, most: int, as_text: bool, folder: Path
) -> list[tuple[str, int, int, int]]:
    """Write the objects of a tile, job by job; return its rows of the table of jobs."""
    ra, dec = (table[name].to_numpy() for name in ("ra", "dec"))
    table.insert(0, SKY_COLUMN, healpix(ra, dec))
    # A job sees only its own objects.
    places = vectors(ra, dec)
    pairs = cKDTree(places).query_pairs(np.radians(tile.scale / 3600), output_type="ndarray")
    close = np.zeros(len(table), bool)
    close[np.unique(pairs)] = True
    twice = table.duplicated(["catalogue", "id"], keep=False).to_numpy()
    table["flags"] = np.where(close, int(Flag.COINCIDENT), 0) | np.where(
        twice, int(Flag.DUPLICATE_ID), 0
    )
    if as_text:
        table["id"] = table["id"].astype(str)
    table = table.sort_values(SKY_COLUMN, kind="stable")
    folder.mkdir()
    rows = []
    cells = cell_of(table[SKY_COLUMN].to_numpy(), order)
    for cell in np.unique(cells).tolist():
        inside = table[cells == cell]
        for part, start in enumerate(range(0, len(inside), most)):
            some = inside.iloc[start : start + most]
            some.to_parquet(folder / f"{cell}-{part}.parquet", index=False)
            rows.append((folder.name, cell, part, len(some)))
    return rows
