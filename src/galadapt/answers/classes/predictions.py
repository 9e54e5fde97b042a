"""Predictions of a classification run, as stored on disk.

One row per stamp with the columns `id`, `domain`, `split`, `group` (a frame or observation, never
divided between splits), `label_true` ("": unlabelled), `label_original` (the class before any
grouping) and one column ``p_<class>`` per class, in the order of the classes. A row whose
probabilities are NaN failed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.answers.classes.metrics import answered
from galadapt.core.errors import DataError
from galadapt.core.files import read_table

_PREFIX = "p_"

#: By how much the probabilities of one prediction may miss 1.
_TOLERANCE = 1e-3


def class_names(table: pd.DataFrame) -> list[str]:
    """Return the classes of a predictions table, in order."""
    return [str(c).removeprefix(_PREFIX) for c in table if str(c).startswith(_PREFIX)]


def read_class_predictions(path: Path) -> pd.DataFrame:
    """Read a predictions table of a classification run, ordered by `id`; missing labels become "".

    Raises:
        DataError: it is missing, lacks a column or has no row, a label is none of its classes, or
            the probabilities of a row are no probabilities.
    """
    wanted = ("id", "domain", "split", "group", "label_true", "label_original")
    table = read_table(path, wanted)
    names = class_names(table)
    if len(names) < 2:
        raise DataError(
            f"{path}: lacks the column(s) p_<class> of at least two classes; rerun the prediction"
        )
    if table.empty:
        raise DataError(f"{path}: holds no prediction; rerun the prediction")
    for column in ("group", "label_true", "label_original"):
        table[column] = table[column].fillna("").astype(str)
    unknown = sorted(set(table["label_true"]) - {"", *names})
    if unknown:
        raise DataError(
            f"{path}: label_true {unknown[0]!r} is none of the predicted classes "
            f"{', '.join(names)}; rerun the prediction"
        )
    values = probabilities(table)
    good = answered(values)
    wrong = np.zeros(len(table), bool)
    wrong[good] = (values[good] < 0).any(axis=1)
    wrong[good] |= np.abs(values[good].sum(axis=1) - 1) > _TOLERANCE
    if wrong.any():
        first = table["id"].iloc[int(np.argmax(wrong))]
        raise DataError(
            f"{path}: the probabilities of id {first} are negative or do not add up to 1; rerun "
            "the prediction"
        )
    # Sums in another order would differ in their last digits.
    return table.sort_values("id", kind="stable", ignore_index=True)


def probabilities(table: pd.DataFrame) -> np.ndarray:
    """Return the probabilities of a predictions table, shape (n, classes), float64."""
    return table[[_PREFIX + name for name in class_names(table)]].to_numpy(np.float64)


def class_numbers(table: pd.DataFrame) -> np.ndarray:
    """Return the true class of labelled rows as its place among the classes, shape (n,)."""
    names = class_names(table)
    return np.array([names.index(label) for label in table["label_true"]], int)
