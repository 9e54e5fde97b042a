"""The eight orientations of a square stamp, and the mean output over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: Quarter turns, and mirrored quarter turns.
COUNT = 8


def oriented(images: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stamps (n, side, side, ...) by quarter turns, and mirror them from orientation 4 on."""
    view = np.rot90(images, orientation % 4, axes=(1, 2))
    return view[:, ::-1] if orientation >= 4 else view


def each_orientation(predict: Callable[[np.ndarray], Any], images: np.ndarray) -> list[Any]:
    """Return the outputs for stamps in each of their eight orientations."""
    # Copied, because backends do not take reversed strides.
    return [predict(np.ascontiguousarray(oriented(images, k))) for k in range(COUNT)]


def mean_output(predict: Callable[[np.ndarray], Any], images: np.ndarray) -> Any:
    """Average the outputs for stamps over their eight orientations.

    The mean does not depend on how a stamp is turned or mirrored: the eight are summed in double
    precision, where their order leaves no trace. `predict` goes from stamps (n, side, side, ...) to
    an array (n, ...) float32 or a list of such, which is returned.
    """
    outputs = each_orientation(predict, images)
    if isinstance(outputs[0], list):
        return [_mean(parts) for parts in zip(*outputs, strict=True)]
    return _mean(outputs)


def _mean(parts: Any) -> np.ndarray:
    return np.asarray(np.mean(parts, axis=0, dtype=np.float64), np.float32)
