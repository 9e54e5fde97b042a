"""Frames: the table that lists them, their pixels, their sky."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.stats import SigmaClip, sigma_clipped_stats
from photutils.background import Background2D, MedianBackground

from galadapt.core.errors import DataError
from galadapt.core.tables import check_names, read_user_table
from galadapt.sky.bad_pixels import bad_pixels_of
from galadapt.sky.fits_files import open_plane
from galadapt.sky.sky import mean_scale
from galadapt.stamps.format import SPLITS
from galadapt.tasks.stars.settings import STAR_CLASSES, FrameFiles, StarDetection


@dataclass(frozen=True)
class Frame:
    """One CCD frame (ny, nx) after sky subtraction."""

    pixels: np.ndarray  #: float32 [ADU], the sky subtracted; 0 where `bad`
    sky: np.ndarray  #: float32 [ADU]
    bad: np.ndarray  #: no value
    saturated: np.ndarray  #: at or above saturation
    noise: float  #: standard deviation of the empty sky [ADU]
    pixel_scale: float  #: [arcsec/px]
    digest: str  #: of the pixels as read: equal for copies of one frame


def read_frame_table(path: Path, folder: Path | None = None) -> pd.DataFrame:
    """Read a table of frames, with the columns frame, label and, optionally, split.

    Paths are relative to `folder`, or to the table's own.

    Returns:
        One row per frame: frame (as written), path, label (a class or ""), split (of `SPLITS`, or
        "" in every row where the table has none).

    Raises:
        DataError: the table is missing, unreadable, empty or without a column, a frame is missing
            or listed twice, or a label or split is unknown.
    """
    table = read_user_table(path, ("frame", "label"), text=True)
    if "split" not in table:
        table["split"] = ""
    table = table[["frame", "label", "split"]].fillna("").astype(str).apply(lambda x: x.str.strip())
    check_names(table, "label", STAR_CLASSES, path)
    check_names(table, "split", SPLITS, path)
    if 0 < (table["split"] == "").sum() < len(table):
        frame = table.loc[table["split"] == "", "frame"].iloc[0]
        raise DataError(
            f"{path}: frame {frame!r} has no split but others have; fill the column split or leave "
            "it out"
        )
    table["path"] = [str((folder or path.parent) / name) for name in table["frame"]]
    for name, file in zip(table["frame"], table["path"], strict=True):
        if not name or not Path(file).is_file():
            raise DataError(
                f"{path}: frame {name!r} is not at {file}; correct the table or fetch the frame"
            )
    same = table["path"].map(lambda file: str(Path(file).resolve())).duplicated()
    if same.any():
        raise DataError(
            f"{path}: frame {table.loc[same, 'frame'].iloc[0]!r} is listed twice; list each frame "
            "once, or its stars leak from one split into another"
        )
    return table


def read_frame(path: Path, detection: StarDetection, source: FrameFiles) -> Frame:
    """Read a frame (FITS, plain or compressed) and subtract its sky.

    Raises:
        DataError: unreadable, no 2-D image, nothing but NaN, an empty exposure, or no pixel scale.
    """
    with open_plane(path, "frame", source.hdu) as plane:
        data = np.array(plane.pixels[:, :], dtype=np.float32)
        wcs = plane.sky
        box = np.s_[0 : data.shape[0], 0 : data.shape[1]]
        no_data = bad_pixels_of(plane).find(plane.pixels, box)[1]
    pixel_scale = source.pixel_scale if wcs is None else mean_scale(wcs, data.shape, path)
    if pixel_scale is None:
        raise DataError(f"{path}: the frame has no WCS; give pixel_scale [arcsec/px]")
    if min(data.shape) < 2 * detection.stamp_size:
        raise DataError(
            f"{path}: a frame of {data.shape[1]}x{data.shape[0]} px is too small for stamps of "
            f"{detection.stamp_size} px; use larger frames or lower stamp_size"
        )
    bad = ~np.isfinite(data)
    if bad.all():
        raise DataError(f"{path}: no pixel has a value (all are NaN); leave the frame out")
    saturation = source.saturation or plane.cards.number("SATURATE") or 0.0
    saturated = ~bad & (data >= (saturation if saturation > 0 else np.inf))
    digest = hashlib.sha256(data.tobytes()).hexdigest()
    # Clipped cores do not measure the sky, unless a frame has nothing else.
    blind = bad if (bad | saturated).all() else bad | saturated
    if np.ptp(data[~blind]) == 0:
        what = "saturated" if saturated[~bad].all() else f"{data[~bad][0]:g}: an empty exposure"
        raise DataError(f"{path}: every pixel is {what}; leave the frame out")
    bad |= no_data & ~saturated
    if (bad | saturated).all():
        raise DataError(f"{path}: no pixel holds data but saturated ones; leave the frame out")
    blind = bad | saturated
    sky = _sky(data, blind, detection, path)
    pixels = np.where(bad, np.float32(0), data - sky)
    noise = float(sigma_clipped_stats(pixels, mask=blind, sigma=3.0, maxiters=10)[2])
    if not noise > 0:
        raise DataError(
            f"{path}: more than half of the pixels have one value, so the noise cannot be "
            "measured; leave the frame out"
        )
    return Frame(pixels, sky, bad, saturated, noise, pixel_scale, digest)


def _sky(data: np.ndarray, blind: np.ndarray, detection: StarDetection, path: Path) -> np.ndarray:
    if detection.background == "mesh":
        box = tuple(min(detection.background_box, side) for side in data.shape)
        try:
            mesh = Background2D(
                data,
                box,
                mask=blind,
                exclude_percentile=50.0,
                sigma_clip=SigmaClip(sigma=3.0, maxiters=10),
                bkg_estimator=MedianBackground(),
            )
            return np.asarray(mesh.background, np.float32)
        except ValueError as error:
            reason = str(error).split(".")[0]
            raise DataError(
                f"{path}: no mesh of the sky ({reason}); use background: median or leave the frame "
                "out"
            ) from None
    middle = sigma_clipped_stats(data, mask=blind, sigma=3.0, maxiters=10)[1]
    return np.full(data.shape, middle, np.float32)
