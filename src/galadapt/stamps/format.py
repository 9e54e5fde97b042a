"""The stamp set: the one file format between stages.

An HDF5 file with

- ``images``: (N, H, W) float32, or (N, H, W, channels) where stamps have several, little-endian,
  contiguous (a range of stamps is one read), in the unit named by its attribute;
- ``masks``: (N, H, W) uint8, only where each stamp has a map of flagged pixels;
- ``table/<column>``: one dataset of length N per column, each with a ``unit`` attribute. Required
  columns are `id` and `split`; labels are quantities (`galadapt.core.quantity`), or the text column
  `label`, "" where the class is unknown;
- attributes: ``schema`` (version), ``metadata`` (one JSON object: pixel_scale [arcsec/px],
  zero_point [AB], band, domain, provenance, whatever the stage adds).

Nothing in the file depends on time, process or sharding: equal content gives equal bytes.
"""

from __future__ import annotations

import errno
import itertools
import json
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from galadapt.core.errors import DataError, RunError, reading
from galadapt.core.files import atomic, canonical_json, require, without_locks
from galadapt.core.quantity import QUANTITIES

SCHEMA = "galadapt-stamps-1"

SPLITS = ("train", "validation", "test")  #: values of the `split` column

REQUIRED_METADATA = ("pixel_scale", "zero_point", "band", "domain")


def write_stamps(
    path: str | Path,
    batches: Iterable[Any],
    table: pd.DataFrame,
    metadata: Mapping[str, Any],
    unit: str = "electron/s",
    *,
    masks: bool = False,
) -> None:
    """Write a stamp set from image batches, in bounded memory and atomically.

    Args:
        batches: Arrays (n_i, H, W) or (n_i, H, W, channels) whose lengths add up to
            ``len(table)``; with `masks`, pairs of such an array and a bool array (n_i, H, W).
        table: One row per stamp with at least `id` (integer) and `split` (one of `SPLITS`).
            Text columns are stored as UTF-8, others in their own dtype. It is stored after the
            last batch, so the generator of the batches may still fill measured columns.
        metadata: At least `REQUIRED_METADATA`, and the names of the `channels` where there are
            several; JSON-serialisable.

    Raises:
        DataError: rows and images do not match, an image is not finite, or a required column or
            metadata key is missing.
    """
    path = Path(path)
    missing = [key for key in REQUIRED_METADATA if key not in metadata]
    if missing:
        raise DataError(f"{path}: stamp set metadata lacks {', '.join(missing)}; pass them")
    require(table, ("id", "split"), path)
    unknown = sorted(set(table["split"]) - set(SPLITS))
    if unknown:
        raise DataError(f"{path}: split {unknown[0]!r} is none of {', '.join(SPLITS)}; rename it")
    if table["id"].duplicated().any():
        twice = table.loc[table["id"].duplicated(), "id"].iloc[0]
        raise DataError(f"{path}: id {twice} stands twice in the stamp table; make ids unique")
    # Nobody else has the temporary file: no lock, which some network file systems do not have.
    with atomic(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        pairs = (batch if masks else (batch, None) for batch in batches)
        _write_images(file, pairs, len(table), unit, path)
        stored, channels = file["images"].shape[3:], metadata.get("channels")
        if stored != (() if channels is None else (len(channels),)):
            raise DataError(
                f"{path}: {stored[0] if stored else 'no'} channels in the images, but metadata "
                f"names {channels}; make them alike"
            )
        group = file.create_group("table")
        for name in table.columns:
            values = table[name].to_numpy()
            if values.dtype.kind in "OUT":
                data = group.create_dataset(
                    name, data=[str(value) for value in values], dtype=h5py.string_dtype()
                )
            else:
                data = group.create_dataset(name, data=values)
            known = QUANTITIES.get(str(name))
            data.attrs["unit"] = known.unit if known else ""
        file.attrs["schema"] = SCHEMA
        file.attrs["metadata"] = canonical_json(dict(metadata))
        file.attrs["columns"] = canonical_json([str(name) for name in table.columns])


def _write_images(
    file: h5py.File,
    batches: Iterable[tuple[np.ndarray, np.ndarray | None]],
    count: int,
    unit: str,
    path: Path,
) -> None:
    images: h5py.Dataset | None = None
    done = 0
    for batch, mask in batches:
        if batch.ndim not in (3, 4) or batch.shape[1] != batch.shape[2]:
            raise DataError(
                f"{path}: stamps must be (n, side, side) or (n, side, side, channels), not "
                f"{batch.shape}"
            )
        if mask is not None and mask.shape != batch.shape[:3]:
            raise DataError(f"{path}: masks {mask.shape} for stamps {batch.shape}; make them alike")
        # Judged as stored: a finite float64 may overflow float32.
        with np.errstate(over="ignore"):
            batch = batch.astype("<f4", copy=False)
        finite = np.isfinite(batch).reshape(len(batch), -1).all(axis=1)
        if not finite.all():
            raise DataError(
                f"{path}: stamp {done + int(np.argmin(finite))} holds NaN or infinite pixels; "
                "mask or reject it before writing"
            )
        if images is None:
            images = file.create_dataset("images", (count, *batch.shape[1:]), dtype="<f4")
            images.attrs["unit"] = unit
            if mask is not None:
                file.create_dataset("masks", images.shape[:3], dtype="u1")
        if done + len(batch) > count or batch.shape[1:] != images.shape[1:]:
            raise DataError(
                f"{path}: {done + len(batch)} stamps of {batch.shape[1:]} for {count} rows of "
                f"{images.shape[1:]}; table and images must match"
            )
        images[done : done + len(batch)] = batch
        if mask is not None:
            file["masks"][done : done + len(batch)] = mask != 0
        done += len(batch)
    if images is None or done != count:
        raise DataError(
            f"{path}: {done} stamps for {count} table rows; table and images must match"
        )


class StampSet:
    """One or more stamp sets read as one; images stay on disk until they are read.

    Of many files (shards) only some are open at a time: systems limit the files of a process.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path]) -> None:
        """Open and validate one file, or several (shards) that are concatenated in this order.

        Raises:
            DataError: a file is missing, truncated, not a stamp set, or shards disagree.
        """
        if isinstance(paths, str | Path):
            paths = [paths]
        if not paths:
            raise DataError("no stamp set was given; name at least one file")
        self.paths = [Path(path) for path in paths]
        #: Open files by their number, the last used last.
        self._opened: OrderedDict[int, h5py.File] = OrderedDict()
        self._lock = threading.Lock()
        tables = []
        try:
            shared = _shared(self._file(0))
            self.metadata: dict[str, Any] = json.loads(self._file(0).attrs["metadata"])
            for number, path in enumerate(self.paths):
                file = self._file(number)
                for what, here in _shared(file).items():
                    if here != shared[what]:
                        raise DataError(
                            f"{path}: {what} {here} beside {self.paths[0]} with {shared[what]}; "
                            "rerun the stage that wrote them"
                        )
                tables.append(_read_table(file))
        except BaseException:
            self.close()
            raise
        self._shape: tuple[int, ...] = shared["stamps of"]
        self.unit: str = shared["unit"]
        self.has_masks: bool = shared["masks"]  #: Whether each stamp has a mask.
        self.table: pd.DataFrame = pd.concat(tables, ignore_index=True)
        self._starts = np.cumsum([0] + [len(table) for table in tables])

    def _file(self, number: int) -> h5py.File:
        """Return a file, opened where it is not, with others closed where there are too many."""
        if number in self._opened:
            self._opened.move_to_end(number)
            return self._opened[number]
        while len(self._opened) >= _most_open():
            self._opened.popitem(last=False)[1].close()
        self._opened[number] = _open(self.paths[number])
        return self._opened[number]

    def __enter__(self) -> StampSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def side(self) -> int:
        """Side of a stamp [px]."""
        return self._shape[0]

    @property
    def channels(self) -> int:
        """Channels of a stamp; 1 where its images are (N, H, W)."""
        return self._shape[2] if len(self._shape) == 3 else 1

    def close(self) -> None:
        """Close the files."""
        while self._opened:
            self._opened.popitem()[1].close()

    def rows(self, split: str, column: str = "split") -> np.ndarray:
        """Return the positions of the stamps of one split, in order; `column` holds the splits.

        Raises:
            DataError: the column is missing.
        """
        remedy = "rerun the stage that writes it, or choose another split"
        require(self.table, [column], self.paths[0], remedy)
        return np.flatnonzero((self.table[column] == split).to_numpy())

    def images(self, rows: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """Read stamps as they are stored, float32, all of them or those at the given positions."""
        return self._read("images", np.float32, rows)

    def inputs(self, rows: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """Read stamps as learners take them, (n, H, W, channels) float32."""
        images = self.images(rows)
        return images.reshape((*images.shape[:3], self.channels))

    def masks(self, rows: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """Read masks as (n, H, W) bool, all of them or those at the given positions.

        Raises:
            DataError: the set has none.
        """
        if not self.has_masks:
            raise DataError(
                f"{self.paths[0]}: holds no masks; give a stamp set whose stage writes them"
            )
        return self._read("masks", np.bool_, rows)

    def _read(self, name: str, dtype: type, rows: np.ndarray | Sequence[int] | None) -> np.ndarray:
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {len(self)} stamps")
        shape = self._shape if name == "images" else self._shape[:2]
        out: np.ndarray = np.empty((len(wanted), *shape), dtype)
        for number, (start, stop) in enumerate(itertools.pairwise(self._starts)):
            here = np.flatnonzero((wanted >= start) & (wanted < stop))
            if len(here) == 0:
                continue
            local = wanted[here] - start
            low, high = int(local.min()), int(local.max()) + 1
            with self._lock:
                data = self._file(number)[name]
                if high - low <= 4 * len(local):
                    # One contiguous read is far faster than HDF5's point selection.
                    out[here] = data[low:high][local - low]
                else:
                    for target, row in zip(here, local, strict=True):
                        out[target] = data[int(row)]
        return out

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Read all stamps in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.images(np.arange(start, min(start + size, len(self))))


def _shared(file: h5py.File) -> dict[str, Any]:
    """What all files of one set share, by its name in messages."""
    images, metadata = file["images"], json.loads(file.attrs["metadata"])
    return {
        "stamps of": tuple(map(int, images.shape[1:])),
        "unit": str(images.attrs["unit"]),
        "columns": file.attrs["columns"],
        "masks": "masks" in file,
        **{key: metadata[key] for key in REQUIRED_METADATA},
    }


def _most_open() -> int:
    """Return how many files one set may hold open: a part of what the process may."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(64, limit // 8))


def _open_unlocked(path: Path, error: OSError) -> h5py.File:
    """Open a file whose lock failed.

    Raises:
        RunError: another program has it open for writing.
    """
    if error.errno in (errno.EAGAIN, errno.EACCES):
        raise RunError(
            f"{path}: is open in another program, which may be writing it; close it there and run "
            "the command again"
        ) from None
    without_locks(path.parent)
    return h5py.File(path, "r", locking=False)


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise DataError(f"{path}: no such stamp set; rerun the stage that writes it")
    with reading(path, "not a readable HDF5 file", "delete it and rerun its stage", OSError):
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            if "unable to lock file" not in str(error):
                raise
            file = _open_unlocked(path, error)
    problem = _problem(file)
    if problem:
        file.close()
        raise DataError(f"{path}: {problem}; delete it and rerun its stage")
    return file


def _problem(file: h5py.File) -> str | None:
    schema = file.attrs.get("schema")
    if schema != SCHEMA:
        return f"schema is {schema!r}, this version reads {SCHEMA!r}"
    if "images" not in file or "table" not in file:
        return "lacks 'images' or 'table'"
    images = file["images"]
    if not isinstance(images, h5py.Dataset):
        return "'images' is no dataset"
    if images.ndim not in (3, 4) or images.dtype != np.dtype("<f4"):
        return f"images are {images.dtype} of shape {images.shape}, not (N, H, W) float32"
    try:
        columns = json.loads(file.attrs["columns"])
        metadata = json.loads(file.attrs["metadata"])
    except (KeyError, TypeError, ValueError):
        return "lacks readable 'columns' or 'metadata'"
    missing = [key for key in REQUIRED_METADATA if key not in metadata]
    missing += [column for column in ("id", "split") if column not in columns]
    if missing or "unit" not in images.attrs:
        return f"lacks {', '.join(missing) or 'the unit of its images'}"
    if "masks" in file and file["masks"].shape != images.shape[:3]:
        return f"masks are {file['masks'].shape} for images of {images.shape}"
    for name in columns:
        if name not in file["table"] or len(file["table"][name]) != len(images):
            return f"column '{name}' is missing or does not have {len(images)} rows"
    return None


def _read_table(file: h5py.File) -> pd.DataFrame:
    columns = {}
    for name in json.loads(file.attrs["columns"]):
        data = file["table"][name]
        is_text = h5py.check_string_dtype(data.dtype) is not None
        columns[name] = data.asstr()[:].astype(object) if is_text else data[:]
    return pd.DataFrame(columns)
