"""The eight orientations of a square stamp, and a network's mean answer over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

#: Quarter turns, and mirrored quarter turns.
COUNT = 8


def oriented(images: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stamps (n, side, side, ...) by quarter turns, and mirror them from orientation 4 on."""
    view = np.rot90(images, orientation % 4, axes=(1, 2))
    return view[:, ::-1] if orientation >= 4 else view


def oriented_each(images: Any, orientations: Any) -> Any:
    """Do the same to every stamp (n, side, side, ...) by its own orientation (n,), as tensors."""
    ops = keras.ops
    each = ops.reshape(orientations, (-1, *(1 for _ in images.shape[1:])))
    turned = images
    for turns in (1, 2, 3):
        turned = ops.where(each % 4 == turns, ops.rot90(images, turns, axes=(1, 2)), turned)
    return ops.where(each >= 4, ops.flip(turned, axis=1), turned)


def mean_answer(ask: Callable[[np.ndarray], Any], images: np.ndarray) -> Any:
    """Average what a network says of stamps over their eight orientations.

    The answers no longer depend on how a stamp is turned or mirrored: the eight are summed in
    double precision, where their order leaves no trace. Costs eight forward passes.

    Args:
        ask: From stamps to an array (n, ...) float32, or a list of such.
        images: (n, side, side, 1).

    Returns:
        Arrays as `ask` gives them.
    """
    said = [ask(np.ascontiguousarray(oriented(images, k))) for k in range(COUNT)]
    return keras.tree.map_structure(_mean, *said)


def _mean(*parts: np.ndarray) -> np.ndarray:
    return np.asarray(np.mean(parts, axis=0, dtype=np.float64), np.float32)
