"""Measuring objects in bounded memory, in parts, so that an interrupted run can continue.

The measurements of some hundred objects at a time are kept in a folder of parts beside the output.
An interrupted run starts again where it stopped; parts that belong to another key (other inputs,
settings or networks) are thrown away. An object's numbers depend on its stamp alone, so the
catalogue is the same whether or not it was interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from galadapt.core.errors import DataError, reading
from galadapt.core.files import (
    DIGEST_LIMIT,
    locked,
    shown,
    split_extension,
    write_parquet,
    write_text,
)
from galadapt.core.log import log
from galadapt.core.provenance import file_digest
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.stamps import Stamp
from galadapt.prediction.flags import of_extraction
from galadapt.prediction.package import Package
from galadapt.prediction.stamps import Batch, StampSource, usable

if TYPE_CHECKING:
    from galadapt.prediction.any_image import AnyImagePackage, AnyImageRunner
    from galadapt.prediction.checks import Checker
    from galadapt.prediction.ensemble import Ensemble, Measured

#: Objects of a part.
PART = 512

_KEY = "key.json"


def input_digest(path: Path) -> str:
    """Identify a file by its content, or a large one by its size and time of change.

    The extension that a path names is part of it: others may hold another image.
    """
    path, extension = split_extension(path)
    named = "" if extension is None else f"[{shown(extension)}]"
    with reading(path, "cannot be read", "check the path", OSError):
        state = path.stat()
        if state.st_size > DIGEST_LIMIT:
            return f"{path.name}:{state.st_size}:{state.st_mtime_ns}{named}"
        return file_digest(path) + named


def measure(
    package: Package | AnyImagePackage,
    ensemble: Ensemble | AnyImageRunner,
    sources: Sequence[StampSource],
    objects: pd.DataFrame,
    parts: Path,
    key: str,
    checker: Checker,
) -> pd.DataFrame:
    """Measure every object on the first source that gives a stamp of it.

    Args:
        package, ensemble: The package and its networks.
        sources: Where stamps come from, in order.
        objects: id and ra, dec [deg] or x, y [px].
        parts: Folder of the parts; the caller removes it when the catalogue is written.
        key: All that decides the result; parts of another key are not continued.
        checker: Compares each answer with its pixels.

    Returns:
        One row per object, in order: `<parameter>_predicted` and `_spread`, unlike, local_rms,
        signal_to_noise, flags, reason, image, `Batch.places`, and the columns of
        `galadapt.prediction.checks`.

    Raises:
        DataError: an image cannot be read.
    """
    known = _known_parts(parts, key)
    for number, source in enumerate(sources):
        mine = {name: table for name, table in known.items() if int(name[:4]) == number}
        earlier = [table for name, table in known.items() if int(name[:4]) <= number]
        done = [table["row"] for table in mine.values()]
        done += [table.loc[table["reason"] == "", "row"] for table in earlier]
        left = np.setdiff1d(np.arange(len(objects)), np.concatenate([[], *done]))
        if mine and len(left):
            log.info(f"{source.name}: continuing; {len(left)} of {len(objects)} objects are left")
        for count, batches in enumerate(_grouped(source.stamps(objects, left)), start=len(mine)):
            name = f"{number:04d}-{count:06d}"
            known[name] = _measured(package, ensemble, source, batches, checker)
            if not (parts / _KEY).is_file():
                write_text(parts / _KEY, key)
            write_parquet(parts / f"{name}.parquet", known[name])
    return _joined(known, len(objects))


@contextlib.contextmanager
def reserved(parts: Path) -> Iterator[None]:
    """Keep the folder of parts for one run; a RunError if another run has it."""
    parts.mkdir(parents=True, exist_ok=True)
    output = parts.with_name(parts.name.removeprefix(".").removesuffix(".parts"))
    busy = f"{output}: another run is writing it; wait for it, or choose another output"
    try:
        with locked(parts, refused=busy):
            yield
    finally:
        with contextlib.suppress(OSError):
            parts.rmdir()


def _known_parts(parts: Path, key: str) -> dict[str, pd.DataFrame]:
    """Read the parts of an earlier run of the same key; anything else is removed.

    The folder itself stays: it carries the lock.
    """
    try:
        if (parts / _KEY).read_bytes() == key.encode():
            paths = sorted(parts.glob("[0-9]*.parquet"))
            return {path.stem: pd.read_parquet(path) for path in paths}
    except (OSError, ValueError):
        # A machine that stopped may leave a part half on disk.
        pass
    for path in parts.iterdir() if parts.is_dir() else ():
        path.unlink()
    return {}


def _grouped(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    """Collect batches to parts of at least `PART` objects."""
    waiting: list[Batch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(one.rows) for one in waiting) >= PART:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _measured(
    package: Package | AnyImagePackage,
    ensemble: Ensemble | AnyImageRunner,
    source: StampSource,
    batches: Sequence[Batch],
    checker: Checker,
) -> pd.DataFrame:
    """Measure some objects; one without a usable stamp has NaN and a reason."""
    judged = [one for batch in batches for one in batch.judged]
    stamps = [one for one in judged if usable(one)]
    good = np.array([usable(one) for one in judged], bool)
    table = pd.concat([batch.places for batch in batches], ignore_index=True)
    table["row"] = np.concatenate([batch.rows for batch in batches])
    table["image"] = source.name
    table["reason"] = [
        "" if usable(one) else "bad_pixels" if isinstance(one, Stamp) else one.reason
        for one in judged
    ]
    for name in ("local_rms", "signal_to_noise"):
        table[name] = [getattr(one, name, np.nan) for one in judged]
    table["flags"] = [of_extraction(one.flags) if isinstance(one, Stamp) else 0 for one in judged]
    names = [f"{name}_{kind}" for kind in ("predicted", "spread") for name in PARAMETERS]
    found: dict[str, Any] = dict.fromkeys((*names, "unlike"), np.nan)
    if stamps:
        room = table.loc[good, "room"].to_numpy(float)
        result, checked = _without_wings(ensemble, checker, stamps, room)
        values = np.concatenate([result.predicted, result.spread], axis=1)
        found = {**dict(zip(names, values.T, strict=True)), **checked, **result.extra}
        found["unlike"] = package.familiarity.distance(result.features)
    for name, column in found.items():
        table[name] = np.nan
        table.loc[good, name] = column
    # Image pixels per pixel of the stamp.
    ratio = package.record.pixel_scale / table["image_pixel_scale"].to_numpy(float)
    for axis in ("x", "y"):
        if f"{axis}_centre" in table:
            table[f"{axis}_centre"] = table[axis] + table[f"{axis}_centre"] * ratio
            table[f"{axis}_centre_err"] *= ratio
    return table


def _without_wings(
    ensemble: Ensemble | AnyImageRunner, checker: Checker, stamps: Sequence[Stamp], room: np.ndarray
) -> tuple[Measured, dict[str, np.ndarray]]:
    """Measure and check stamps; those of tight frames twice, with the sky that a model leaves.

    Where an image ends near a galaxy, the background that was subtracted from its stamp contains
    its wings. A model that is fitted together with the sky gives them back.
    """
    result = ensemble.measure(stamps)
    checked = checker.many(stamps, result.predicted, room)
    again = np.flatnonzero(checker.tight(room) & np.isfinite(checked["sky"]))
    if len(again) == 0:
        return result, checked
    better = [
        dataclasses.replace(
            stamps[row], pixels=stamps[row].pixels - np.float32(checked["sky"][row])
        )
        for row in again.tolist()
    ]
    second = ensemble.measure(better)
    for name in ("predicted", "spread", "features"):
        getattr(result, name)[again] = getattr(second, name)
    for name, column in second.extra.items():
        result.extra[name][again] = column
    for name, column in checker.many(better, second.predicted, room[again]).items():
        checked[name][again] = column
    return result, checked


def _joined(known: dict[str, pd.DataFrame], count: int) -> pd.DataFrame:
    """One row per object: where it was measured, else the source that came closest to it."""
    if not known:
        raise DataError("nothing to measure: the catalogue has no row; give one with objects")
    tables = [table.assign(part=name) for name, table in sorted(known.items())]
    found = pd.concat(tables, ignore_index=True)
    # An object outside of one image may lie on another: that one's reason is the better one.
    found["rank"] = np.select([found["reason"] == "", found["reason"] != "outside"], [0, 1], 2)
    found = found.sort_values(["row", "rank", "part"], kind="stable").drop_duplicates("row")
    return found.drop(columns=["part", "rank"]).set_index("row").reindex(range(count))
