"""Where stamps come from: images, cutouts of one object each, a stamp set.

Every source gives stamps at the package's pixel scale and zero point, whatever they are cut from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from scipy.ndimage import label

from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import Flag as ExtractionFlag
from galadapt.core.log import progress
from galadapt.core.photometry import known_rescaling
from galadapt.core.random import generator
from galadapt.cutouts.cutouts import coincident, cutouts
from galadapt.cutouts.stamps import Rejection, Stamp
from galadapt.prediction.package import Record
from galadapt.sky import Mosaic, Remarks, edge_level, open_mosaic
from galadapt.sky.catalogues import locate
from galadapt.sky.pixels import Noise
from galadapt.stamps.format import StampSet

Judged = Stamp | Rejection

#: Pixel scales of stamp sets that count as equal.
_TOLERANCE = 0.01

#: Purpose of the random numbers in frames.
_FRAME = 0x0F18

#: Stamps of a stamp set read at once.
_BATCH = 512

#: Columns of `Batch.places`.
_PLACES = ["x", "y", "ra", "dec", "image_pixel_scale", "room", "up", "handed"]


@dataclass(frozen=True)
class Batch:
    """Some objects, their stamps or rejections, and their positions."""

    rows: np.ndarray  #: Their rows in the table of objects (n,).
    judged: list[Judged]
    #: x, y [0-based px of the image itself], ra, dec [deg], image_pixel_scale [arcsec/px] and
    #: room, the distance from the image's nearest edge [px of the stamp]; up, the position angle of
    #: the image's +y [deg], and handed, 1 where east is left of north, else -1. NaN where unknown.
    places: pd.DataFrame


class StampSource:
    """Something that stamps can be cut from."""

    name: str  #: Its image's name in the catalogue.
    inputs: list[Path]  #: The files it reads.

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Cut out the objects in some rows of a table, in any order."""
        raise NotImplementedError


def usable(judged: Judged) -> TypeGuard[Stamp]:
    """Whether there is a stamp, and every pixel of it is a number."""
    return isinstance(judged, Stamp) and bool(np.isfinite(judged.pixels).all())


def brightening(record: Record, zero_point: float | None, path: Path) -> float:
    """Factor that brings an image to the package's zero point; it must be known."""
    return known_rescaling(zero_point, record.zero_point, path, "--zero-point")


@dataclass
class ImageStamps(StampSource):
    """An image with any number of objects."""

    path: Path
    record: Record  #: Of the package: pixel scale, zero point, stamp size.
    extraction: Extraction  #: How stamps are cut out.
    #: Further arguments of `galadapt.sky.open_mosaic`; maps are the paths among them.
    options: Mapping[str, Any]
    processes: int = 1  #: That share the cutting.
    alone: bool = True  #: Whether objects that all lie outside are an error.
    #: Called with each doubt about the image, once however often it is opened.
    remark: Remarks = field(default_factory=Remarks)
    noise: Noise | None = None  #: Of the image, once it was measured in its pixels.

    def __post_init__(self) -> None:
        self.name = self.path.name
        self.inputs = [self.path, *(one for one in self.options.values() if isinstance(one, Path))]

    @contextlib.contextmanager
    def open(self) -> Iterator[Mosaic]:
        """Open the image on the network's pixel grid."""
        scale, noise = self.record.pixel_scale, self.noise
        with open_mosaic(
            self.path, pixel_scale=scale, measured=noise, remark=self.remark, **self.options
        ) as mosaic:
            self.noise = mosaic.noise if mosaic.noise_is_measured else None
            yield mosaic

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Cut out objects of the image."""
        with self.open() as mosaic:
            factor = brightening(self.record, mosaic.zero_point, self.path)
            x, y = locate(objects, mosaic, must_lie_inside=self.alone)
            # The extraction compares only the objects it is given, after a restart not all.
            twice = coincident(x, y)
            x, y = x[rows], y[rows]
            size = self.record.stamp_size
            wider = Bordered(mosaic, size if self.record.beyond_edges else 0)
            inside = wider.inside(x, y)
            found = cutouts(
                wider,
                np.where(inside, x + wider.pad, np.nan),
                np.where(inside, y + wider.pad, np.nan),
                size,
                self.extraction,
                self.processes,
            )
            for some, judged in found:
                some = np.asarray(some)
                finished = [
                    _finished(one, factor, ExtractionFlag.COINCIDENT if twice[row] else 0)
                    for one, row in zip(judged, rows[some], strict=True)
                ]
                yield Batch(rows[some], finished, _places(mosaic, x[some], y[some]))


def _finished(judged: Judged, factor: float, raised: int) -> Judged:
    """Bring a stamp to the package's zero point, and raise flags."""
    if isinstance(judged, Rejection):
        return judged
    return dataclasses.replace(judged.scaled(factor), flags=judged.flags | int(raised))


def _places(mosaic: Mosaic, x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """Where positions on the network's grid lie; see `Batch`."""
    own_x, own_y = native(mosaic, x, y)
    ny, nx = mosaic.shape
    places = pd.DataFrame({"x": own_x, "y": own_y}, columns=_PLACES, dtype=float)
    places["image_pixel_scale"] = mosaic.native_pixel_scale
    places["room"] = np.min([x + 0.5, nx - 0.5 - x, y + 0.5, ny - 0.5 - y], axis=0)
    finite = np.isfinite(x) & np.isfinite(y)
    if finite.any():
        x, y = x[finite], y[finite]
        on_sky = np.stack([*mosaic.sky(x, y), *_orientation(mosaic, x, y)], axis=1)
        places.loc[finite, ["ra", "dec", "up", "handed"]] = on_sky
    return places


def _orientation(mosaic: Mosaic, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position angle of the image's +y [deg], and 1 where east is left of north, else -1."""
    ra, dec = mosaic.sky(x, y)
    east, north = [], []
    for to_ra, to_dec in (mosaic.sky(x + 1, y), mosaic.sky(x, y + 1)):
        east.append(((to_ra - ra + 180) % 360 - 180) * np.cos(np.radians(dec)))
        north.append(to_dec - dec)
    up = np.degrees(np.arctan2(east[1], north[1]))
    return up, np.sign(east[1] * north[0] - east[0] * north[1])


def native(mosaic: Mosaic, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn positions on the network's grid into the image's own pixels."""
    (x0, x1), (y0, y1) = mosaic.regrid(np.arange(2), np.arange(2))
    return (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)


@dataclass
class CutoutStamps(StampSource):
    """Small images with one object each, at the centre; row k of the table is file k.

    A file that cannot be read is one object that is not measured. `fill` frames those that are
    smaller than a stamp by noise (`Framed`); they get the flag edge.
    """

    images: Sequence[ImageStamps]  #: The files.
    fill: bool = False

    def __post_init__(self) -> None:
        self.name = self.images[0].path.parent.name
        self.inputs = [path for image in self.images for path in image.inputs]

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Cut out the object of each file."""
        for row in progress(rows.tolist(), len(rows), "extraction", "cutouts"):
            try:
                judged, places = self._cut(row)
            except DataError as error:
                # The row's identifier names the file already.
                reason = str(error).removeprefix(f"{self.images[row].path}: ")
                judged = Rejection(reason, np.nan)
                places = pd.DataFrame(np.nan, [0], _PLACES)
                places["image_pixel_scale"] = self.images[row].record.pixel_scale
            yield Batch(np.array([row]), [judged], places)

    def assumed(self) -> list[str]:
        """Remarks on the first file: the same, whatever an earlier run has measured."""
        remark = Remarks(quiet=True)
        first = dataclasses.replace(self.images[0], remark=remark)
        with contextlib.suppress(DataError), first.open():
            pass
        return remark.texts

    def _cut(self, row: int) -> tuple[Judged, pd.DataFrame]:
        # What is doubtful in several files is said once.
        image = dataclasses.replace(self.images[row], remark=self.images[0].remark)
        record, size = image.record, image.record.stamp_size
        with image.open() as mosaic:
            factor = brightening(record, mosaic.zero_point, image.path)
            ny, nx = mosaic.shape
            x, y = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
            wider: Framed | Bordered = (
                Framed(mosaic, size)
                if self.fill
                else Bordered(mosaic, size if record.beyond_edges else 0)
            )
            centre = x + wider.pad, y + wider.pad
            ((_, (judged,)),) = cutouts(wider, *centre, size, image.extraction)
            raised = ExtractionFlag.NEAR_EDGE if wider.filled else 0
            return _finished(judged, factor, raised), _places(mosaic, x, y)


class Bordered:
    """An image with a border without data around it, half a stamp and a little wide.

    So stamps may reach beyond the image; their pixels there are bad ones.
    """

    filled = False  #: Whether any pixel was filled with noise.

    def __init__(self, mosaic: Mosaic, size: int) -> None:
        """Take an open image and the side of a stamp [px]; 0: no border."""
        self._mosaic = mosaic
        self.pad = size // 2 + 2 if size else 0
        self.pixel_scale = mosaic.pixel_scale
        ny, nx = mosaic.shape
        self.shape = (ny + 2 * self.pad, nx + 2 * self.pad)

    def read(self, y0: int, y1: int, x0: int, x1: int) -> tuple[np.ndarray, np.ndarray]:
        """Data and weight of a box, 0 beyond the image."""
        data, weight = (np.zeros((y1 - y0, x1 - x0), np.float32) for _ in range(2))
        (ny, nx), pad = self._mosaic.shape, self.pad
        top, bottom = max(y0 - pad, 0), min(y1 - pad, ny)
        left, right = max(x0 - pad, 0), min(x1 - pad, nx)
        if top < bottom and left < right:
            rows = slice(top + pad - y0, bottom + pad - y0)
            columns = slice(left + pad - x0, right + pad - x0)
            read = self._mosaic.read(top, bottom, left, right)
            data[rows, columns], weight[rows, columns] = read
        return data, weight

    def inside(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether positions [px of the image] lie on the image itself."""
        ny, nx = self._mosaic.shape
        with np.errstate(invalid="ignore"):
            inside: np.ndarray = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
        return inside


class Framed:
    """A small image in a frame of noise like that at its edge, wide enough for a stamp.

    As `survey.fill` does for training: white noise around the sky's level, of the scatter of the
    outermost pixels. The noise depends on the pixels alone.
    """

    def __init__(self, mosaic: Mosaic, size: int) -> None:
        """Read an image and draw its frame; a DataError if its edge shows no noise."""
        data, weight = mosaic.read()
        #: Width of the frame [px]; 0 where none is needed.
        self.pad = max(0, -(-(size + 2 - min(data.shape)) // 2))
        self.pixel_scale = mosaic.pixel_scale
        data, weight = (np.pad(plane, self.pad) for plane in (data, weight))
        good = weight > 0
        # What lies beyond the edge of the data, as in turned images; holes inside stay holes.
        beyond = np.pad(~good, 1, constant_values=True)
        beyond = (label(beyond)[0] == 1)[1:-1, 1:-1]
        #: Whether any pixel was filled with noise.
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


class StampSetStamps(StampSource):
    """A stamp set as `galadapt` writes them; row k of the table is stamp k."""

    def __init__(self, path: Path, record: Record) -> None:
        """Open a stamp set; a DataError if its stamps are broken or do not fit the record."""
        self.name, self.inputs, self._record = path.name, [path], record
        with StampSet(path) as stamps:
            self._scale = float(stamps.metadata["pixel_scale"])
            if "variant_steps" in stamps.metadata:
                raise DataError(
                    f"{path}: holds stamps after a variant's chain; give the stamps before it"
                )
            if stamps.side < record.stamp_size or (stamps.side - record.stamp_size) % 2:
                raise DataError(
                    f"{path}: stamps of {stamps.side} px; {record.name} needs "
                    f"{record.stamp_size} px, or more by an even number"
                )
            if abs(self._scale / record.pixel_scale - 1) > _TOLERANCE:
                raise DataError(
                    f"{path}: pixels of {self._scale:g} arcsec; {record.name} needs "
                    f"{record.pixel_scale:g}: cut the stamps from a resampled image, or give the "
                    "image itself with --images"
                )
            self.objects = stamps.table.reindex(columns=["id", "ra", "dec"])

    def stamps(self, objects: pd.DataFrame, rows: np.ndarray) -> Iterator[Batch]:
        """Read stamps."""
        size, (path,) = self._record.stamp_size, self.inputs
        with StampSet(path) as stamps:
            factor = brightening(self._record, stamps.metadata["zero_point"], path)
            cut = (stamps.side - size) // 2
            # What a column holds that the stamp set lacks.
            unknown = {
                **dict.fromkeys(("signal_to_noise", "empty_rms", "fwhm"), np.nan),
                **dict.fromkeys(("neighbour_fraction", "background", "x_offset", "y_offset"), 0.0),
                "local_rms": float(stamps.metadata.get("pixel_rms") or np.nan),
                "extraction_flags": 0,
            }
            for start in range(0, len(rows), _BATCH):
                some = rows[start : start + _BATCH]
                table = stamps.table.iloc[some]
                measured = pd.DataFrame(
                    {name: table.get(name, value) for name, value in unknown.items()}, table.index
                ).astype(float)
                flags = measured.pop("extraction_flags")
                images = stamps.images(some)[:, cut : cut + size, cut : cut + size]
                values: Any = measured.to_dict("records")
                judged: list[Judged] = [
                    Stamp(pixels=image, x=0, y=0, flags=int(bits), **row).scaled(factor)
                    for image, bits, row in zip(images, flags, values, strict=True)
                ]
                places = objects.iloc[some].reindex(columns=_PLACES).astype(float)
                places["image_pixel_scale"] = self._scale
                yield Batch(some, judged, places)
