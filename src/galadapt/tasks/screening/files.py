"""The user's own X-ray images as fields: counts over exposure, centred on a field."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.ndimage import binary_closing

from galadapt.core.errors import DataError
from galadapt.core.files import expand, require, write_csv
from galadapt.core.log import log, progress
from galadapt.core.packed import fits_files
from galadapt.core.tables import check_names, read_user_table
from galadapt.sky.fits_files import Plane, open_plane
from galadapt.sky.headers import Cards
from galadapt.sky.sky import local_scales
from galadapt.stamps.format import SPLITS, write_stamps
from galadapt.stamps.spool import Spool
from galadapt.tasks.class_stamps import class_metadata, split_groups
from galadapt.tasks.screening.classes import CLASSES
from galadapt.tasks.screening.moments import MOMENTS, moments
from galadapt.tasks.screening.settings import FieldFiles, FieldSplits

#: Header cards with the exposure, the best first [s].
_EXPOSURE_CARDS = ("EXPOSURE", "LIVETIME", "ONTIME")

_EVENT_UNIT = 0.05  #: unit of event coordinates of XMM-Newton [arcsec]

#: How far pixel scales may differ and still count as the same, or as a whole multiple.
_SCALE_TOLERANCE = 1e-3

_CROPPED = 0.5  #: share of the counts that may lie beyond the field
_BOX_COUNTS = 6.0  #: counts expected in the box that closes the holes between the counts of a field


def read_fields(
    files: FieldFiles,
    side: int,
    pixel_scale: float,
    splits: FieldSplits,
    seed: int,
    output: Path,
    rejected: Path,
    provenance: dict[str, Any],
) -> None:
    """Read the user's images into one stamp set.

    Each image is put in the middle of the field, cropped or surrounded by zeros; other pixel
    scales are summed up, a pixel across a border by its parts, so that no count is lost.

    Args:
        side: Side of a field [px].
        pixel_scale: Pixel scale of a field [arcsec/px].
        output: Stamp set to write; images in counts/s. The columns are those of
            `galadapt.tasks.screening.simulate.simulate_fields` and `image`, the file. `id` is the
            number of the image in the list. masked_fraction is NaN and defects is empty, because
            they are unknown; exposed_fraction is estimated from where counts are.
        rejected: CSV of the images that cannot be used: id, image, reason.

    Raises:
        DataError: the list is missing or broken, or no image of it can be used.
    """
    listed = _list_images(files)
    with Spool(output.parent, side) as spool:
        rows: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        records = cast("list[dict[str, Any]]", listed.to_dict("records"))
        for row in progress(records, len(records), output.name, "images"):
            try:
                picture, described = _read(row, files, side, pixel_scale)
            except DataError as error:
                refused.append({"id": row["id"], "image": str(row["image"]), "reason": str(error)})
                continue
            spool.put(len(rows), picture)
            rows.append(described)
        write_csv(rejected, pd.DataFrame(refused, columns=["id", "image", "reason"]))
        if not rows:
            raise DataError(
                f"{_source(files)}: none of {len(listed)} images can be used; the first: "
                f"{refused[0]['reason']}"
            )
        table = pd.DataFrame(rows)
        table["split"] = _split(table, splits, seed, _source(files))
        metadata = class_metadata(
            "survey", CLASSES, pixel_scale, files.band, provenance, moments=list(MOMENTS)
        )
        write_stamps(output, spool.take(range(len(table))), table, metadata, "count/s")
    log.info(
        f"{output.name}: {len(table)} fields, {int((table['label'] != '').sum())} with a class, "
        f"{len(refused)} images rejected ({rejected.name})"
    )


def _source(files: FieldFiles) -> Path:
    entry = files.table or files.folder
    assert entry is not None
    return expand(entry.path)


def _list_images(files: FieldFiles) -> pd.DataFrame:
    """The images and their columns in the table; also path, and id, the number in the list."""
    path = _source(files)
    if files.folder is not None:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder; correct folder.path")
        found = fits_files(path, "the images")
        listed = pd.DataFrame({"image": [p.name for p in found], "path": found})
    else:
        # A class or an observation is a name, not a number: leading zeros count.
        listed = read_user_table(path, text=True)
        listed.columns = [name.lower() for name in listed.columns]
        require(listed, ["image"], path)
        if "split" in listed:
            check_names(listed, "split", SPLITS, path)
        listed["path"] = listed["image"].map(lambda name: path.parent / str(name)).astype(object)
    listed["id"] = np.arange(len(listed))
    return listed


def _text(row: dict[str, Any], *columns: str) -> str:
    """The first of these columns that is not empty."""
    for column in columns:
        value = row.get(column)
        if value is not None and not pd.isna(value) and str(value).strip():
            return str(value).strip()
    return ""


def _label(row: dict[str, Any]) -> str:
    text = _text(row, "label", "obs_class")
    # Tables often hold classes as 2.0.
    label = text.removesuffix(".0")
    if label and label not in CLASSES:
        raise DataError(
            f"{row['path']}: class {text!r} is none of {', '.join(CLASSES)}; correct the table"
        )
    return label


def _read(
    row: dict[str, Any], files: FieldFiles, side: int, pixel_scale: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Read one image as a field (side, side) [counts/s], and its columns."""
    path, label = row["path"], _label(row)
    with open_plane(path, "image", files.hdu) as plane:
        pixels, cards = np.asarray(plane.pixels[:, :], float), plane.cards
        _check_counts(pixels, cards.text("BUNIT"), path)
        exposure = _exposure(row, cards)
        scale = _scale(plane, files, path)
        group = _text(row, "group") or cards.text("OBS_ID") or path.name.split(".")[0]
        counts = _onto_field(pixels, scale, side, pixel_scale, group)
        picture = (counts / exposure).astype(np.float32)
        return picture, {
            "id": row["id"],
            "split": _text(row, "split"),
            "label": label,
            "group": group,
            "image": str(row["image"]),
            "exposure": exposure,
            "camera": cards.text("INSTRUME"),
            "mode": cards.text("SUBMODE"),
            "masked_fraction": np.nan,
            "exposed_fraction": _exposed_fraction(counts),
            "defects": "",
            "counts": round(float(counts.sum())),
            **moments(picture),
        }


def _check_counts(pixels: np.ndarray, unit: str, path: Path) -> None:
    if not np.isfinite(pixels).all():
        raise DataError(f"{path}: holds NaN or infinite pixels; give the image of counts")
    if (pixels < 0).any():
        raise DataError(
            f"{path}: holds negative counts; give the image before the background is subtracted"
        )
    if not pixels.any():
        raise DataError(f"{path}: every pixel is 0; leave it out or give the right extension")
    if "/s" in unit or (pixels != np.rint(pixels)).any():
        raise DataError(
            f"{path}: holds fractions of counts or a rate, which would be divided by the exposure "
            "twice; give the image of counts"
        )


def _exposure(row: dict[str, Any], cards: Cards) -> float:
    text, where = _text(row, "exposure"), "the table's exposure"
    if not text:
        written = (name for name in _EXPOSURE_CARDS if cards.raw(name))
        where = cards.found(*_EXPOSURE_CARDS)[0] or next(written, "")
        if not where:
            raise DataError(
                f"{row['path']}: has no exposure in the table nor in "
                f"{', '.join(_EXPOSURE_CARDS)}; add a column exposure [s]"
            )
        text = cards.raw(where)
    try:
        exposure = float(text)
    except ValueError:
        raise DataError(f"{row['path']}: {where} {text!r} is no number; give seconds") from None
    if not 0 < exposure < np.inf:
        raise DataError(
            f"{row['path']}: {where} is {exposure:g} s; give the exposure in the table or leave "
            "the image out"
        )
    return exposure


def _scale(plane: Plane, files: FieldFiles, path: Path) -> float:
    """Pixel scale [arcsec/px]."""
    scales, header = None, plane.hdu.header
    if str(header.get("CTYPE1", "")).strip() in ("DETX", "X"):
        with contextlib.suppress(ValueError, TypeError):
            scales = np.abs([float(header["CDELT1"]), float(header["CDELT2"])]) * _EVENT_UNIT
    elif plane.sky is not None:
        scales = local_scales(plane.sky, plane.shape, path, log.info)
    if scales is None:
        if files.native_pixel_scale is None:
            raise DataError(
                f"{path}: its header gives no pixel scale; give native_pixel_scale [arcsec/px]"
            )
        return files.native_pixel_scale
    if abs(scales[0] / scales[1] - 1) > _SCALE_TOLERANCE:
        raise DataError(
            f"{path}: pixels of {scales[0]:g} x {scales[1]:g} arcsec; give an image with square "
            "pixels"
        )
    return float(np.mean(scales))


def _onto_field(
    pixels: np.ndarray, native_scale: float, side: int, pixel_scale: float, group: str
) -> np.ndarray:
    """Counts in the pixels of the field (side, side)."""
    ratio = pixel_scale / native_scale
    if ratio < 1 - _SCALE_TOLERANCE:
        raise DataError(
            f"{group}: pixels of {native_scale:g} arcsec are coarser than the field's of "
            f"{pixel_scale:g}; give a finer image or a larger binning"
        )
    down, across = (_overlaps(n, side, ratio) for n in pixels.shape)
    counts: np.ndarray = down @ pixels @ across.T
    lost = 1 - counts.sum() / pixels.sum()
    if lost > _CROPPED:
        raise DataError(
            f"{group}: {100 * lost:.0f} % of the counts lie beyond a field of "
            f"{side * pixel_scale / 60:.0f} arcmin; check the pixel scale"
        )
    return counts


def _overlaps(number: int, side: int, ratio: float) -> np.ndarray:
    """Share of each of `number` pixels in each of the `side` pixels of the field."""
    edges = (np.arange(side + 1) - side / 2) * ratio + number / 2
    whole = round(ratio)
    if abs(ratio - whole) <= _SCALE_TOLERANCE * whole:
        # Whole pixels stay whole, at the price of half a pixel of the centre.
        edges = np.floor(number / 2 - side * whole / 2) + np.arange(side + 1) * whole
    pixel = np.arange(number)
    shared = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.clip(shared, 0, None)


def _exposed_fraction(counts: np.ndarray) -> float:
    """Share of the pixels in the field: where counts are, with the holes between them."""
    hit = counts > 0
    expected = -np.log(max(1 - hit.mean(), 1e-3))
    box = min(2 * int(np.sqrt(_BOX_COUNTS / expected) / 2) + 1, len(counts) // 4 * 2 + 1)
    padded = np.pad(hit, box)
    closed = binary_closing(padded, np.ones((box, box), bool))
    return float(closed.sum() / counts.size)


def _split(table: pd.DataFrame, splits: FieldSplits, seed: int, source: Path) -> np.ndarray:
    """The table's splits; fields and groups without one are dealt out."""
    given = table[table["split"] != ""].groupby("group")["split"]
    torn = given.nunique()
    if (torn > 1).any():
        raise DataError(
            f"{source}: images of {torn.index[torn > 1][0]} are in several splits; give an "
            "observation one split"
        )
    dealt = dict(given.first())
    rest = table[~table["group"].isin(list(dealt))]
    if len(rest):
        drawn = split_groups(rest["group"], rest["label"], splits, seed)
        dealt |= dict(zip(rest["group"], drawn, strict=True))
    return np.array([dealt[group] for group in table["group"]], object)
