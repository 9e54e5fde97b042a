"""The losses of votes, from raw outputs."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from galadapt.answers.votes.heads import LIMITS, SHIFT
from galadapt.answers.votes.tree import Tree

#: Terms of the recursion that carries small arguments to where Stirling's series holds.
_STEPS = 6


def log_gamma(x: Any) -> Any:
    """Natural logarithm of the gamma function of x > 0, to 1e-5 in float32 (Stirling's series)."""
    carried = ops.zeros_like(x)
    for step in range(_STEPS):
        carried = carried + ops.log(x + step)
    y = x + _STEPS
    series = 1 / (12 * y) - 1 / (360 * y**3)
    return (y - 0.5) * ops.log(y) - y + 0.9189385332046727 + series - carried


class ShareError(keras.losses.Loss):
    """Mean squared error of the shares that follow from raw outputs along the tree."""

    def __init__(self, tree: Tree, **kwargs: Any) -> None:
        """Take the tree."""
        super().__init__(**kwargs)
        self._tree = tree

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare shares with raw outputs, both (n, K)."""
        shares: list[Any] = []
        positive = ops.relu(y_pred + SHIFT)
        answers: list[Any] = []
        for part, parent in zip(self._tree.parts, self._tree.parents, strict=True):
            # A question without any positive output gives all its answers the same share.
            own = positive[:, part] + 1e-7
            own = own / ops.sum(own, axis=1, keepdims=True)
            own = own if parent is None else own * answers[parent]
            answers += [own[:, k : k + 1] for k in range(part.stop - part.start)]
            shares.append(own)
        wanted = ops.cast(y_true, y_pred.dtype)
        return ops.mean(ops.square(ops.concatenate(shares, axis=1) - wanted), axis=-1)


class VoteLikelihood(keras.losses.Loss):
    """Negative log-likelihood of votes, Dirichlet-multinomial, summed over the questions asked."""

    def __init__(self, tree: Tree, **kwargs: Any) -> None:
        """Take the tree."""
        super().__init__(**kwargs)
        self._tree = tree

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare votes with the logarithms of alpha, both (n, K)."""
        votes = ops.cast(y_true, y_pred.dtype)
        alpha = ops.exp(ops.clip(y_pred, *LIMITS))
        each = log_gamma(alpha) - log_gamma(votes + alpha)
        total = ops.sum(each, axis=1)
        for part in self._tree.parts:
            asked = ops.sum(votes[:, part], axis=1)
            concentration = ops.sum(alpha[:, part], axis=1)
            total = total + log_gamma(concentration + asked) - log_gamma(concentration)
        return total
