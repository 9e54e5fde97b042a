"""From frames to the stamp set of their stars, frame by frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.core.errors import DataError
from galadapt.core.files import expand, write_csv
from galadapt.core.log import log, progress
from galadapt.core.parallel import mapped
from galadapt.stamps.format import write_stamps
from galadapt.stamps.spool import Spool
from galadapt.tasks.class_stamps import class_metadata, split_frames, split_stamps
from galadapt.tasks.stars.cutting import REASONS, Cut, cut
from galadapt.tasks.stars.detection import find_stars
from galadapt.tasks.stars.frames import Frame, read_frame, read_frame_table
from galadapt.tasks.stars.settings import STAR_CLASSES, FrameFiles, FrameSplits, StarDetection

#: Pixel scales this close are one, as a share: WCS solutions differ from frame to frame.
_SAME_SCALE = 0.02

#: Identifiers of stars: this times the frame's row in the table, plus the star's number in it.
_FRAME = 100_000


def extract_stars(
    source: FrameFiles,
    detection: StarDetection,
    splits: FrameSplits,
    seed: int,
    domain: str,
    output: Path,
    frames: Path,
    rejected: Path,
    provenance: Mapping[str, Any],
    processes: int = 1,
) -> pd.DataFrame:
    """Detect the stars of every frame, cut their stamps and write them; returns their table.

    A frame that cannot be used is skipped with a reason and counted; an error of the table is an
    error of the run. One frame per process is in memory at a time; the result is the same for any
    number of processes.

    Args:
        domain: "simulated" or "survey".
        output: Stamp set [ADU], sky subtracted. Beside id, split, split_by_stamp, label and group
            (the frame) its table holds the columns of `Cut.stars`.
        frames: CSV with a row per frame: frame, label, split, status (used, skipped),
            reason, detector, threshold [sigma], kernel_fwhm [px], tries, hollowness, n_detected,
            n_<reason> for each of `galadapt.tasks.stars.cutting.REASONS`, n_stars,
            n_saturated_kept, n_fit_failed_kept, background and noise [ADU], pixel_scale, fwhm (mean
            of the fits [arcsec]), seeing (good, poor, or "" without a fit).
        rejected: CSV with a row per star left out: frame, x_centroid, y_centroid, reason, value.

    Raises:
        DataError: the table is wrong, two frames have the same pixels, pixel scales differ, or no
            frame gives a star.
    """
    table = expand(source.path)
    listed = read_frame_table(table, expand(source.directory) if source.directory else None)
    if (listed["split"] == "").all():
        listed["split"] = split_frames(
            listed["frame"].to_numpy(), listed["label"].to_numpy(), seed, splits
        )
    work = partial(_one, detection=detection, source=source)
    records, tables, refused = [], [], []
    used: dict[str, tuple[str, float]] = {}
    results = mapped(work, listed["path"].tolist(), processes)
    cut_out = 0
    with Spool(output.parent, detection.stamp_size) as spool:
        for row, result in enumerate(progress(results, len(listed), "stars", "frames")):
            record, done, digest = result
            name, label, split = (str(listed.loc[row, key]) for key in ("frame", "label", "split"))
            records.append({"frame": name, "label": label, "split": split, **record})
            if record["status"] == "skipped":
                log.info(f"stars: frame skipped: {record['reason']}")
            if done is None:
                continue
            _check(table, name, digest, record["pixel_scale"], used)
            done.rejected.insert(0, "frame", name)
            refused.append(done.rejected)
            stars = done.stars
            spool.put(cut_out, done.stamps)
            cut_out += len(stars)
            number = row * _FRAME + stars.index
            place = {"id": number, "split": split, "label": label, "group": name}
            tables.append(pd.DataFrame(place, index=stars.index).join(stars))
        summary = _frame_table(records)
        if not any(len(part) for part in tables):
            raise DataError(_nothing(table, summary))
        stars = pd.concat([part for part in tables if len(part)], ignore_index=True)
        by_stamp = split_stamps(stars["split"].to_numpy(), stars["label"].to_numpy(), seed)
        stars.insert(2, "split_by_stamp", by_stamp)
        scale = float(np.median([scale for _, scale in used.values()]))
        limit = detection.seeing_limit
        metadata = class_metadata(domain, STAR_CLASSES, scale, "", provenance, seeing_limit=limit)
        left_out = pd.concat(refused, ignore_index=True)
        write_csv(rejected, left_out)
        write_csv(frames, summary)
        write_stamps(output, spool.take(range(cut_out)), stars, metadata, unit="adu")
    skipped = int((summary["status"] == "skipped").sum())
    log.info(
        f"stars: {len(stars)} stamps of {len(listed) - skipped} frames, {skipped} frames skipped, "
        f"{len(left_out)} stars left out"
    )
    return stars


def _one(
    path: str, detection: StarDetection, source: FrameFiles
) -> tuple[dict[str, Any], Cut | None, str]:
    """Row of the table of frames; the stars and the digest of a frame that could be read."""
    try:
        frame = read_frame(Path(path), detection, source)
    except DataError as error:
        return {"status": "skipped", "reason": str(error)}, None, ""
    found = find_stars(frame, detection)
    done = cut(frame, found, detection)
    record = {
        "status": "used" if len(done.stars) else "skipped",
        "reason": "" if len(done.stars) else _why(path, len(found.stars), done, detection),
        "detector": found.detector,
        "threshold": found.threshold,
        "kernel_fwhm": found.fwhm,
        "tries": found.tries,
        "hollowness": found.hollowness,
        "n_detected": len(found.stars),
        **{f"n_{reason}": int((done.rejected["reason"] == reason).sum()) for reason in REASONS},
        "n_stars": len(done.stars),
        "n_saturated_kept": int(done.stars["saturated"].sum()),
        "n_fit_failed_kept": int(done.stars["fit_failed"].sum()),
        "background": float(np.median(frame.sky)),
        "noise": frame.noise,
        "pixel_scale": frame.pixel_scale,
        **_seeing(frame, done.stars, detection),
    }
    return record, done, frame.digest


def _why(path: str, found: int, done: Cut, detection: StarDetection) -> str:
    if not found:
        return f"{path}: no star down to {detection.threshold_floor:g} sigma; leave the frame out"
    counts = done.rejected["reason"].value_counts()
    summary = ", ".join(f"{counts[reason]} {reason}" for reason in REASONS if reason in counts)
    return f"{path}: none of {found} stars gives a stamp ({summary}); loosen 'detection'"


def _seeing(frame: Frame, stars: pd.DataFrame, detection: StarDetection) -> dict[str, Any]:
    widths = stars.loc[~stars["saturated"], "fwhm"].dropna()
    if len(widths) == 0:
        return {"fwhm": np.nan, "seeing": ""}
    mean = float(widths.mean()) * frame.pixel_scale
    return {"fwhm": mean, "seeing": "good" if mean < detection.seeing_limit else "poor"}


def _check(
    table: Path, name: str, digest: str, scale: float, used: dict[str, tuple[str, float]]
) -> None:
    """Refuse a copy of a frame, and other pixels than those of the first.

    `used` are names and pixel scales by digest; the frame is added.
    """
    if digest in used:
        raise DataError(
            f"{table}: frames {used[digest][0]!r} and {name!r} have the same pixels; list one of "
            "them, or its stars leak from one split into another"
        )
    used[digest] = name, scale
    first, known = next(iter(used.values()))
    if abs(scale / known - 1) > _SAME_SCALE:
        raise DataError(
            f"{table}: frame {name!r} has {scale:.4g} arcsec/px beside {known:.4g} of {first!r}; "
            "make an experiment for each pixel scale"
        )


def _frame_table(records: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(records)
    counts = table.columns[table.columns.str.startswith("n_")]
    table[counts] = table[counts].fillna(0).astype(int)
    return table.fillna({"detector": "", "seeing": ""})


def _nothing(table: Path, summary: pd.DataFrame) -> str:
    """Message that no frame gave a star: the commonest reason, by its first frame."""
    what = summary["reason"].str.split(": ", n=1).str[1].str.split(r"[;(]").str[0]
    commonest = Counter(what).most_common(1)[0][0]
    first = summary.loc[what == commonest, "reason"].iloc[0]
    return f"{table}: none of {len(summary)} frames gives a star; the first of them is {first}"
