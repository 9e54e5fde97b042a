"""Where stamps come from: images, cutouts of one object each, a stamp set.

Each field gives stamps at the package's pixel scale and zero point, so that whoever asks the
networks need not know what they were cut from.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.ndimage import label

from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.log import progress
from galadapt.core.photometry import known_zero_point, rescaling
from galadapt.core.random import generator
from galadapt.cutouts.cutouts import Rejection, Stamp, coincident, cutouts
from galadapt.cutouts.flags import Flag as ExtractionFlag
from galadapt.prediction.package import Record
from galadapt.sky import Mosaic, edge_level, once, open_mosaic
from galadapt.sky.catalogues import locate
from galadapt.stamps.format import StampSet

Judged = Stamp | Rejection

#: Pixel scales of stamp sets that count as equal.
_TOLERANCE = 0.01

#: Purpose of the random numbers in frames.
_FRAME = 0x0F18


@dataclass(frozen=True)
class Seen:
    """Objects on one field, in the field's own pixels.

    Attributes:
        x: 0-based columns (n,); NaN where unknown.
        y: 0-based rows (n,).
        ra: [deg] (n,); NaN without WCS.
        dec: [deg] (n,).
        pixel_scale: Of the field [arcsec/px].
    """

    x: np.ndarray
    y: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    pixel_scale: np.ndarray


class Field(Protocol):
    """Something that stamps can be cut from."""

    @property
    def name(self) -> str:
        """What the catalogue calls it."""

    @property
    def inputs(self) -> list[Path]:
        """The files it reads."""

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Cut out the objects at the positions `rows` of a table, in any order."""


@dataclass(frozen=True)
class Batch:
    """Some objects: their positions in the table, what became of them, where they were seen."""

    rows: np.ndarray
    judged: list[Judged]
    seen: Seen


def scaled(judged: Judged, factor: float) -> Judged:
    """Multiply a stamp's fluxes."""
    if isinstance(judged, Rejection) or factor == 1:
        return judged
    return dataclasses.replace(
        judged,
        pixels=judged.pixels * np.float32(factor),
        local_rms=judged.local_rms * factor,
        empty_rms=judged.empty_rms * factor,
        background=judged.background * factor,
    )


def brightening(record: Record, zero_point: float | None, path: Path) -> float:
    """Factor that brings an image to the package's zero point; it must be known."""
    return rescaling(known_zero_point(zero_point, path, "--zero-point"), record.zero_point)


@dataclass(frozen=True)
class ImageField:
    """An image with any number of objects.

    Attributes:
        path: The image.
        record: Of the package: pixel scale, zero point, stamp size.
        extraction: How stamps are cut out.
        options: Further arguments of `galadapt.sky.open_mosaic`.
        processes: That share the cutting.
        alone: Whether it is the only image: then objects that all lie outside are an error.
        remark: What is told of doubts, each once however often the image is opened.
    """

    path: Path
    record: Record
    extraction: Extraction
    options: Mapping[str, Any]
    processes: int = 1
    alone: bool = True
    remark: Callable[[str], None] = field(default_factory=once)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def inputs(self) -> list[Path]:
        """The image and its maps."""
        maps = [self.options.get(kind) for kind in ("weight", "rms", "mask", "exposure")]
        return [self.path, *(Path(path) for path in maps if path is not None)]

    def open(self) -> Any:
        """Open the image on the network's pixel grid."""
        scale = self.record.pixel_scale
        return open_mosaic(self.path, pixel_scale=scale, remark=self.remark, **self.options)

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Cut out objects; see `Field.stamps`."""
        with self.open() as mosaic:
            factor = brightening(self.record, mosaic.zero_point, self.path)
            x, y = locate(objects, mosaic) if self.alone else place(mosaic, objects)
            # The extraction knows only the objects it is asked for, after a restart not all.
            twice = coincident(x, y)
            x, y = x[rows], y[rows]
            found = cutouts(mosaic, x, y, self.record.stamp_size, self.extraction, self.processes)
            for some, judged in found:
                some = np.asarray(some)
                yield Batch(
                    rows[some],
                    [
                        _marked(scaled(one, factor), twice[row])
                        for one, row in zip(judged, rows[some], strict=True)
                    ],
                    seen(mosaic, x[some], y[some]),
                )


def _marked(judged: Judged, twice: bool) -> Judged:
    if isinstance(judged, Rejection):
        return judged
    flags = judged.flags & ~int(ExtractionFlag.COINCIDENT)
    return dataclasses.replace(judged, flags=flags | (ExtractionFlag.COINCIDENT if twice else 0))


def _flagged(judged: Judged, flag: ExtractionFlag) -> Judged:
    if isinstance(judged, Rejection):
        return judged
    return dataclasses.replace(judged, flags=judged.flags | int(flag))


def place(mosaic: Mosaic, objects: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Find objects on the network's pixel grid: by ra and dec, or by x and y [px of the image]."""
    if "x" in objects:
        return mosaic.regrid(objects["x"].to_numpy(float), objects["y"].to_numpy(float))
    return mosaic.positions(objects["ra"].to_numpy(float), objects["dec"].to_numpy(float))


def seen(mosaic: Mosaic, x: np.ndarray, y: np.ndarray) -> Seen:
    """Turn places on the network's grid into what the catalogue says."""
    finite = np.isfinite(x) & np.isfinite(y)
    ra, dec = np.full(len(x), np.nan), np.full(len(x), np.nan)
    if finite.any():
        ra[finite], dec[finite] = mosaic.sky(x[finite], y[finite])
    scale = np.full(len(x), mosaic.native_pixel_scale)
    return Seen(*native(mosaic, x, y), ra, dec, scale)


def native(mosaic: Mosaic, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn places on the network's grid into the image's own pixels."""
    (x0, x1), (y0, y1) = mosaic.regrid(np.arange(2), np.arange(2))
    return (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)


@dataclass(frozen=True)
class CutoutsField:
    """Small images with one object each, at the centre; row k of the table is file k.

    A file that cannot be read is one object that is not measured. `fill` frames those that are
    smaller than a stamp by noise (`Framed`); they get the flag edge.
    """

    paths: Sequence[Path]
    record: Record
    extraction: Extraction
    options: Mapping[str, Any]
    fill: bool = False
    remark: Callable[[str], None] = field(default_factory=once)

    @property
    def name(self) -> str:
        """The first file's folder."""
        return self.paths[0].parent.name

    @property
    def inputs(self) -> list[Path]:
        """All files."""
        return list(self.paths)

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Cut out objects; see `Field.stamps`."""
        record = self.record
        for row in progress(rows.tolist(), len(rows), "extraction", "cutouts"):
            path = self.paths[row]
            image = ImageField(path, record, self.extraction, self.options, remark=self.remark)
            try:
                with image.open() as mosaic:
                    factor = brightening(record, mosaic.zero_point, path)
                    ny, nx = mosaic.shape
                    x, y = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
                    framed = Framed(mosaic, record.stamp_size) if self.fill else mosaic
                    pad = framed.pad if isinstance(framed, Framed) else 0
                    found = cutouts(framed, x + pad, y + pad, record.stamp_size, self.extraction)
                    judged = [scaled(one, factor) for _, some in found for one in some]
                    if isinstance(framed, Framed) and framed.filled:
                        judged = [_flagged(one, ExtractionFlag.NEAR_EDGE) for one in judged]
                    batch = Batch(np.array([row]), judged, seen(mosaic, x, y))
            except DataError as error:
                # The row's identifier names the file already.
                reason = str(error).removeprefix(f"{path}: ")
                nothing = np.full(1, np.nan)
                where = Seen(nothing, nothing, nothing, nothing, np.full(1, record.pixel_scale))
                batch = Batch(np.array([row]), [Rejection(reason, np.nan)], where)
            yield batch


class Framed:
    """A small image in a frame of noise like that at its edge, wide enough for a stamp.

    As `survey.fill` does for training: white noise around the sky's level, of the scatter of the
    outermost pixels. The noise depends on the pixels alone.

    Attributes:
        shape: (ny, nx) with the frame [px].
        pixel_scale: [arcsec/px].
        pad: Width of the frame [px]; 0 where none is needed.
        filled: Whether any pixel is noise of ours.
    """

    def __init__(self, mosaic: Mosaic, size: int) -> None:
        """Read an image and draw its frame.

        Raises:
            DataError: its edge shows no noise.
        """
        data, weight = mosaic.read()
        self.pad = max(0, -(-(size + 2 - min(data.shape)) // 2))
        self.pixel_scale = mosaic.pixel_scale
        data, weight = (np.pad(plane, self.pad) for plane in (data, weight))
        good = weight > 0
        # What lies beyond the edge of the data, as in turned images; holes inside stay holes.
        beyond = np.pad(~good, 1, constant_values=True)
        beyond = (label(beyond)[0] == 1)[1:-1, 1:-1]
        self.filled = bool(beyond.any())
        if self.filled:
            sky, rms = edge_level(data, good, min(mosaic.shape))
            if not rms > 0:
                raise DataError(
                    f"{mosaic.path}: no noise can be measured, as its edge is constant; leave this "
                    "cutout out"
                )
            noise = generator(zlib.crc32(data.tobytes()), _FRAME).normal(sky, rms, data.shape)
            if mosaic.noise_is_measured:
                weight[good] = rms**-2
            data[beyond], weight[beyond] = noise[beyond], rms**-2
        self._data, self._weight = data, weight
        self.shape = (data.shape[0], data.shape[1])

    def read(self, y0: int, y1: int, x0: int, x1: int) -> tuple[np.ndarray, np.ndarray]:
        """Data and weight of a box."""
        return self._data[y0:y1, x0:x1], self._weight[y0:y1, x0:x1]


class StampSetField:
    """A stamp set as `galadapt` writes them; row k of the table is stamp k."""

    def __init__(self, path: Path, record: Record) -> None:
        """Check that the stamps fit.

        Raises:
            DataError: the file is broken, of another pixel scale, too small, or a variant.
        """
        self.path, self._record = path, record
        with StampSet(path) as stamps:
            scale = float(stamps.metadata["pixel_scale"])
            if "variant_steps" in stamps.metadata:
                raise DataError(
                    f"{path}: holds stamps after a variant's chain; give the stamps before it"
                )
            if stamps.side < record.stamp_size or (stamps.side - record.stamp_size) % 2:
                raise DataError(
                    f"{path}: stamps of {stamps.side} px; {record.name} needs "
                    f"{record.stamp_size} px, or more by an even number"
                )
            if abs(scale / record.pixel_scale - 1) > _TOLERANCE:
                raise DataError(
                    f"{path}: pixels of {scale:g} arcsec; {record.name} needs "
                    f"{record.pixel_scale:g}: cut the stamps from a resampled image, or give the "
                    "image itself with --images"
                )
            table = stamps.table
        nothing = np.full(len(table), np.nan)
        columns = {name: table.get(name, nothing) for name in ("ra", "dec")}
        self.objects = pd.DataFrame({"id": table["id"].to_numpy(), **columns})

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def inputs(self) -> list[Path]:
        """The file."""
        return [self.path]

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Read stamps; see `Field.stamps`."""
        record = self._record
        with StampSet(self.path) as stamps:
            factor = brightening(record, stamps.metadata["zero_point"], self.path)
            cut = (stamps.side - record.stamp_size) // 2
            inner = slice(cut, cut + record.stamp_size)
            typical = float(stamps.metadata.get("pixel_rms") or np.nan)
            for start in range(0, len(rows), 512):
                some = rows[start : start + 512]
                table = stamps.table.iloc[some]
                columns = {
                    name: table[name].to_numpy(float) if name in table else default
                    for name, default in (
                        ("local_rms", np.full(len(some), typical)),
                        ("neighbour_fraction", np.zeros(len(some))),
                        ("signal_to_noise", np.full(len(some), np.nan)),
                        ("empty_rms", np.full(len(some), np.nan)),
                        ("fwhm", np.full(len(some), np.nan)),
                        ("background", np.zeros(len(some))),
                        ("x_offset", np.zeros(len(some))),
                        ("y_offset", np.zeros(len(some))),
                    )
                }
                flags = (
                    table["extraction_flags"] if "extraction_flags" in table else [0] * len(some)
                )
                images = stamps.images(some)[:, inner, inner]
                judged: list[Judged] = [
                    scaled(
                        Stamp(
                            pixels=images[k],
                            x=0,
                            y=0,
                            flags=int(flag),
                            **{name: float(values[k]) for name, values in columns.items()},
                        ),
                        factor,
                    )
                    for k, flag in enumerate(flags)
                ]
                nothing = np.full(len(some), np.nan)
                ra, dec = (objects[name].to_numpy(float)[some] for name in ("ra", "dec"))
                scale = np.full(len(some), float(stamps.metadata["pixel_scale"]))
                yield Batch(some, judged, Seen(nothing, nothing, ra, dec, scale))
