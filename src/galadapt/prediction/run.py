"""Measuring a catalogue in bounded memory, part by part, so that it can be continued.

What the networks say of some hundred objects at a time is kept in a folder of parts beside the
output. An interrupted run starts again where it stopped; the parts of other inputs, settings or
networks are thrown away. An object's numbers depend on its stamp alone, so the catalogue is the
same whether or not it was interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.core.errors import DataError, RunError
from galadapt.core.files import DIGEST_LIMIT, canonical_json, write_parquet, write_text
from galadapt.core.log import log
from galadapt.core.provenance import digest, file_digest
from galadapt.cutouts.cutouts import Rejection, Stamp
from galadapt.cutouts.flags import names as extraction_names
from galadapt.prediction.ensemble import Ensemble
from galadapt.prediction.fields import Batch, Field
from galadapt.prediction.flags import OF_EXTRACTION
from galadapt.prediction.package import Package

#: Objects of a part.
PART = 512

_KEY = "key.json"


def input_digest(path: Path) -> str:
    """Know a file by its bytes, or a large one by its size and time of change.

    Raises:
        DataError: the file is missing.
    """
    try:
        state = path.stat()
        if state.st_size > DIGEST_LIMIT:
            return f"{path.name}:{state.st_size}:{state.st_mtime_ns}"
        return file_digest(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def measure(
    package: Package,
    ensemble: Ensemble,
    fields: Sequence[Field],
    objects: pd.DataFrame,
    parts: Path,
    settings: dict[str, Any],
) -> pd.DataFrame:
    """Measure every object on the first field that gives a stamp of it.

    Args:
        package: The package.
        ensemble: Its networks.
        fields: Where to look, in order.
        objects: id and ra, dec [deg] or x, y [px].
        parts: Folder of the parts; `forget` removes it when the catalogue is written.
        settings: What else decides the result; part of the parts' key.

    Returns:
        One row per object, in order: `<parameter>_predicted` and `_spread`, unlike, local_rms,
        signal_to_noise, flags, reason, image, image_pixel_scale, ra, dec, x, y.

    Raises:
        DataError: an image cannot be read.
    """
    key = canonical_json(
        {
            "package": package.digest,
            "settings": settings,
            "inputs": [[input_digest(path) for path in field.inputs] for field in fields],
            "objects": digest(pd.util.hash_pandas_object(objects, index=False).to_numpy()),
        }
    )
    known = _known_parts(parts, key)
    for number, field in enumerate(fields):
        mine = f"{number:04d}-"
        have = [table for name, table in known.items() if name.startswith(mine)]
        done = _measured([table for name, table in known.items() if name[:4] <= mine[:4]])
        asked = np.concatenate([table["row"].to_numpy() for table in have] or [np.zeros(0, int)])
        rows = np.setdiff1d(np.arange(len(objects)), np.union1d(done, asked))
        if len(have) and len(rows):
            log.info(f"{field.name}: continuing; {len(rows)} of {len(objects)} objects are left")
        count = len(have)
        for batches in _grouped(field.stamps(objects, rows)):
            table = _ask(package, ensemble, field, batches)
            known[f"{mine}{count:06d}"] = table
            if not (parts / _KEY).is_file():
                write_text(parts / _KEY, key)
            write_parquet(parts / f"{mine}{count:06d}.parquet", table)
            count += 1
    return _joined(known, len(objects), package)


@contextlib.contextmanager
def reserved(parts: Path) -> Iterator[None]:
    """Keep the folder of parts for one run; it goes when the run ends without having begun one.

    Raises:
        RunError: another run is writing there.
    """
    parts.mkdir(parents=True, exist_ok=True)
    handle = os.open(parts, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            output = parts.name.removeprefix(".").removesuffix(".parts")
            raise RunError(
                f"{parts.with_name(output)}: another run is writing it; wait for it, or choose "
                "another output"
            ) from None
        except OSError:
            # Some network file systems know no locks of folders.
            pass
        yield
    finally:
        with contextlib.suppress(OSError):
            parts.rmdir()
        os.close(handle)


def forget(parts: Path) -> None:
    """Remove the parts of a finished run."""
    shutil.rmtree(parts, ignore_errors=True)


def _known_parts(parts: Path, key: str) -> dict[str, pd.DataFrame]:
    """Read what an earlier run of the same key has left; anything else is removed.

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


def _measured(tables: Sequence[pd.DataFrame]) -> np.ndarray:
    rows = [table.loc[table["reason"] == "", "row"].to_numpy() for table in tables]
    return np.concatenate(rows or [np.zeros(0, int)])


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


def _ask(
    package: Package, ensemble: Ensemble, field: Field, batches: Sequence[Batch]
) -> pd.DataFrame:
    """Ask the networks for some objects; a rejected one has NaN and a reason."""
    judged = [one for batch in batches for one in batch.judged]
    good = np.array([isinstance(one, Stamp) and _usable(one) for one in judged], bool)
    table = pd.DataFrame({"row": np.concatenate([batch.rows for batch in batches])})
    for name in ("x", "y", "ra", "dec"):
        table[name] = np.concatenate([getattr(batch.seen, name) for batch in batches])
    table["image_pixel_scale"] = np.concatenate([batch.seen.pixel_scale for batch in batches])
    table["image"] = field.name
    table["reason"] = ["" if fine else _reason(one) for fine, one in zip(good, judged, strict=True)]
    for name in ("local_rms", "signal_to_noise"):
        table[name] = [getattr(one, name, np.nan) for one in judged]
    table["flags"] = [_flags(one) for one in judged]
    parameters = package.record.parameters
    names = [f"{name}_{kind}" for kind in ("predicted", "spread") for name in parameters]
    values = np.full((len(table), len(names)), np.nan)
    unlike = np.full(len(table), np.nan)
    if good.any():
        images = [one.pixels for one, fine in zip(judged, good, strict=True) if fine]  # type: ignore[union-attr]
        result = ensemble(np.stack(images))
        values[good] = np.concatenate([result.predicted, result.spread], axis=1)
        unlike[good] = package.familiarity.distance(result.features)
    table[names] = values
    table["unlike"] = unlike
    return table


def _usable(stamp: Stamp) -> bool:
    return bool(np.isfinite(stamp.pixels).all())


def _reason(judged: Stamp | Rejection) -> str:
    if isinstance(judged, Stamp):
        return "bad_pixels"
    return judged.reason


def _flags(judged: Stamp | Rejection) -> int:
    if isinstance(judged, Rejection):
        return 0
    return int(sum(int(OF_EXTRACTION[name]) for name in extraction_names(judged.flags)))


def _joined(known: dict[str, pd.DataFrame], count: int, package: Package) -> pd.DataFrame:
    """One row per object: where it was measured, else the field that came closest to it."""
    if not known:
        raise DataError("nothing to measure: the catalogue has no row; give one with objects")
    tables = [table.assign(field=name) for name, table in sorted(known.items())]
    found = pd.concat(tables, ignore_index=True)
    # An object outside of one field may lie on another: that one's reason says more.
    found["rank"] = np.select([found["reason"] == "", found["reason"] != "outside"], [0, 1], 2)
    found = found.sort_values(["row", "rank", "field"], kind="stable").drop_duplicates("row")
    return found.drop(columns=["field", "rank"]).set_index("row").reindex(range(count))
