"""The stamps of a set that are most like another one, by the features of a trained model.

Every stamp is compared (the answer is exact), in blocks of a file that stays on disk: memory does
not grow with the number of stamps, and a million of them are searched in less than a second once
their features are computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import pairwise_distances

from galadapt.config.training import Compute
from galadapt.core.distances import METRICS, prepared
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import atomic, canonical_json, read_json, write_json
from galadapt.core.log import log
from galadapt.core.provenance import digest
from galadapt.learners import run_folder
from galadapt.plots.stamps import show_stamp
from galadapt.plots.style import drawing
from galadapt.prediction.ensemble import Ensemble
from galadapt.prediction.measure import input_digest
from galadapt.prediction.package import RECORD, read_package
from galadapt.stamps.format import StampSet
from galadapt.stamps.preprocess import Rebin, Step, apply_chain, read_steps

#: Stamps whose features are computed at once, and features that are compared at once.
_STAMPS, _BLOCK = 512, 65_536

#: Stamps in a row of the sheet.
_ACROSS = 6

_FEATURES, _ABOUT = "features.npy", "index.json"


@dataclass(frozen=True)
class Encoder:
    """A model that gives the features of stamps before any variant."""

    name: str
    digest: str
    side: int  #: of the stamps it takes [px]
    steps: tuple[Step, ...]  #: from a stamp to the model's input
    #: From stamps (n, s, s, channels) after these steps to features (n, f).
    run: Callable[[np.ndarray], np.ndarray]

    def features(self, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Return the features (n, f) of stamps of a set, before the model's variant or after it."""
        images = stamps.inputs(rows)
        done = stamps.metadata.get("variant_steps")
        if done is not None and done != [step.model_dump(mode="json") for step in self.steps]:
            raise DataError(
                f"{stamps.paths[0]}: stamps of another variant than that of {self.name}; give the "
                "stamps before any variant"
            )
        try:
            return self.of_images(images, stamps.metadata.get("pixel_rms"), done is not None)
        except DataError as error:
            raise DataError(f"{stamps.paths[0]}: {error}") from None

    def of_images(self, images: np.ndarray, noise: float | None, ready: bool = False) -> np.ndarray:
        """Return the features (n, f) of stamps (n, side, side, channels).

        Args:
            noise: Typical noise of a pixel.
            ready: Whether they are stamps after the model's variant, not before any.
        """
        if not ready:
            cut = images.shape[1] - self.side
            if cut < 0 or cut % 2:
                raise DataError(
                    f"stamps of {images.shape[1]} px; {self.name} needs {self.side} px, or more by "
                    "an even number"
                )
            border = cut // 2
            images = images[:, border : border + self.side, border : border + self.side]
            images = apply_chain(images, self.steps, noise, self.name)
        found = np.asarray(self.run(images), np.float32)
        if not np.isfinite(found).all():
            raise DataError(
                f"{self.name} gives features that are not finite; leave such stamps out"
            )
        return found


def read_encoder(folder: Path, compute: Compute) -> Encoder:
    """Open a prediction package, or the folder of a finished run, of any task.

    Raises:
        DataError: it is neither, or it is broken.
    """
    if (folder / RECORD).is_file():
        package = read_package(folder)
        known, network = package.record, Ensemble.of_package(package, 1)
        return Encoder(
            known.name, known.digest, known.stamp_size, known.variant_steps, network.features
        )
    run = folder / "run.json"
    if not run.is_file():
        raise DataError(
            f"{folder}: neither a prediction package ({RECORD}) nor a run (run.json); give the "
            "folder of one"
        )
    loaded = run_folder.load(run, compute)
    record = loaded.record
    steps = tuple(read_steps(record.get("variant_steps", [])))
    factor = math.prod(step.factor for step in steps if isinstance(step, Rebin))
    name = "/".join(str(record.get(key)) for key in ("task", "variant", "method", "seed"))
    return Encoder(name, record["weights"], loaded.learner.side * factor, steps, loaded.features)


class Index:
    """The features of a stamp set, standardised, in a file."""

    def __init__(self, folder: Path) -> None:
        """Open what `build` wrote; a DataError if it is incomplete."""
        about = read_json(folder / _ABOUT)
        try:
            self.key = str(about["key"])
            self._mean = np.array(about["mean"], np.float64)
            self._width = np.array(about["width"], np.float64)
            self._features = np.load(folder / _FEATURES, mmap_mode="r")
        except (KeyError, OSError, ValueError) as error:
            raise DataError(f"{folder}: no index of features ({error}); delete it") from None

    def __len__(self) -> int:
        return len(self._features)

    @classmethod
    def build(cls, folder: Path, encoder: Encoder, stamps: StampSet, key: str) -> Index:
        """Compute the features of all stamps, in bounded memory, and write them into a folder."""
        with atomic(folder) as temporary:
            temporary.mkdir()
            sums = squares = 0.0
            features: Any = None
            for start in range(0, len(stamps), _STAMPS):
                rows = np.arange(start, min(start + _STAMPS, len(stamps)))
                found = encoder.features(stamps, rows)
                if features is None:
                    shape = (len(stamps), found.shape[1])
                    features = np.lib.format.open_memmap(
                        temporary / _FEATURES, "w+", np.float32, shape
                    )
                features[rows] = found
                sums = sums + found.sum(axis=0, dtype=np.float64)
                squares = squares + (found.astype(np.float64) ** 2).sum(axis=0)
            mean = np.asarray(sums) / len(stamps)
            width = np.sqrt(np.maximum(np.asarray(squares) / len(stamps) - mean**2, 0.0))
            # A feature that never changes would divide by zero.
            width = np.where(width > 1e-6 * np.maximum(np.abs(mean), 1e-6), width, np.inf)
            for start in range(0, len(stamps), _BLOCK):
                block = slice(start, start + _BLOCK)
                features[block] = (features[block] - mean) / width
            features.flush()
            del features
            # JSON has no infinity.
            shown = np.where(np.isfinite(width), width, 0.0)
            write_json(
                temporary / _ABOUT,
                {"key": key, "mean": mean.tolist(), "width": shown.tolist()},
            )
        return cls(folder)

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """Scale features (n, f) as those of the file are."""
        width = np.where(self._width > 0, self._width, np.inf)
        return ((features - self._mean) / width).astype(np.float32)

    def nearest(
        self, features: np.ndarray, count: int, distance: str = "euclidean"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest stamps of features (f,), not standardised.

        Returns:
            Their rows (count,), the nearest first and equally near ones in the order of the set,
            and distances.
        """
        query = prepared(self.standardised(features[None]), distance)
        rows, distances = np.zeros(0, int), np.zeros(0)
        for start in range(0, len(self), _BLOCK):
            block = prepared(self._features[start : start + _BLOCK], distance)
            found = pairwise_distances(query, block, metric=METRICS[distance])[0]
            most = min(count, len(found)) - 1
            near = np.flatnonzero(found <= np.partition(found, most)[most])
            rows = np.concatenate([rows, start + near])
            distances = np.concatenate([distances, found[near]])
            order = np.lexsort((rows, distances))[:count]
            rows, distances = rows[order], distances[order]
        return rows, distances


def opened_index(folder: Path, encoder: Encoder, stamps: StampSet) -> Index:
    """Open the index of a stamp set in a folder, made anew where it is of other stamps or model.

    Raises:
        ConfigError: the folder holds something else.
        DataError: a stamp does not fit the model.
    """
    files = [input_digest(path) for path in stamps.paths]
    key = digest(canonical_json([encoder.name, encoder.digest, files]))
    if folder.exists() and not (folder / _ABOUT).is_file():
        raise ConfigError(f"{folder}: exists and is no index; name another folder")
    if folder.exists() and (index := Index(folder)).key == key and len(index) == len(stamps):
        return index
    log.info(f"{folder}: computing the features of {len(stamps)} stamps")
    return Index.build(folder, encoder, stamps, key)


def similar(
    encoder: Encoder,
    stamps: StampSet,
    index: Index,
    query: tuple[np.ndarray, np.ndarray],
    count: int,
    distance: str,
    leave_out: int | None = None,
) -> pd.DataFrame:
    """List the stamps most like another one.

    Args:
        query: Its features (f,), and its pixels for the sheet.
        count: Stamps to list.
        leave_out: Row of the query itself, where it is one of the set.

    Returns:
        `rank`, `distance`, `row` and the columns of the stamp set.

    Raises:
        ConfigError: not so many stamps.
    """
    there = len(stamps) - (leave_out is not None)
    if not 1 <= count <= there:
        raise ConfigError(f"-k: {count} of {there} stamps; give 1 to {there}")
    rows, distances = index.nearest(query[0], count + (leave_out is not None), distance)
    kept = rows != leave_out if leave_out is not None else np.ones(len(rows), bool)
    rows, distances = rows[kept][:count], distances[kept][:count]
    table = stamps.table.iloc[rows].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(rows) + 1))
    table.insert(1, "distance", distances)
    table.insert(2, "row", rows)
    return table


def draw_sheet(
    output: Path, title: str, query: np.ndarray, stamps: StampSet, table: pd.DataFrame
) -> None:
    """Draw the query and its neighbours with their distances and labels."""
    images = stamps.inputs(table["row"].to_numpy())
    down = -(-(1 + len(images)) // _ACROSS)
    with drawing(output, down, _ACROSS, (1.5, 1.75), title, pictures=True) as (_, axes):
        show_stamp(axes.flat[0], query, "query")
        for panel, image, row in zip(axes.flat[1:], images, table.to_dict("records"), strict=False):
            label = _label({str(name): value for name, value in row.items()})
            show_stamp(panel, image, f"{row['id']}: {row['distance']:.2f}\n{label}")


def _label(row: dict[str, Any]) -> str:
    """Say what is known of a stamp, in a line."""
    if row.get("label"):
        return str(row["label"])
    if {"magnitude", "effective_radius"} <= row.keys() and np.isfinite(row["magnitude"]):
        return f"m {row['magnitude']:.1f}, re {row['effective_radius']:.1f}"
    votes = {name: value for name, value in row.items() if name.startswith("votes_")}
    if votes and np.isfinite(list(votes.values())).all():
        return max(votes, key=lambda name: votes[name]).removeprefix("votes_").replace("_", " ")
    return ""


def read_query(
    encoder: Encoder, stamps: StampSet, given: int | None, images: Sequence[np.ndarray]
) -> tuple[tuple[np.ndarray, np.ndarray], int | None]:
    """Return the features and pixels of what is searched for, and its row in the set if it has one.

    Args:
        given: Id of a stamp of the set.
        images: One stamp (side, side, channels) before any variant, where no id is given.

    Raises:
        DataError: there is no stamp of this id.
    """
    if given is not None:
        found = np.flatnonzero((stamps.table["id"] == given).to_numpy())
        if len(found) == 0:
            raise DataError(f"{stamps.paths[0]}: holds no stamp of id {given}; check the id")
        pixels = stamps.inputs(found[:1])[0]
        return (encoder.features(stamps, found[:1])[0], pixels), int(found[0])
    (pixels,) = images
    features = encoder.of_images(pixels[None], stamps.metadata.get("pixel_rms"))
    return (features[0], pixels), None
