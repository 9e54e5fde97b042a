"""The losses of votes, from raw outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from galadapt.answers.votes.heads import LIMITS, LOWEST, SHIFT
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


def _membership(tree: Tree) -> np.ndarray:
    """Matrix (K, questions): 1 where an answer belongs to a question."""
    return np.eye(len(tree.questions), dtype=np.float32)[tree.question_of]


class ShareError(keras.losses.Loss):
    """Mean squared error of the shares that follow from raw outputs along the tree."""

    def __init__(self, tree: Tree, **kwargs: Any) -> None:
        """Take the tree."""
        super().__init__(**kwargs)
        self._of = _membership(tree)
        # Of each answer, that of the parent's share; first questions have none above them.
        above = np.zeros((len(tree.names), len(tree.questions)), np.float32)
        for number, parent in enumerate(tree.parents):
            if parent is not None:
                above[parent, number] = 1
        self._above = above @ self._of.T
        self._first = 1 - self._above.sum(axis=0)
        self._levels = tree.depth - 1

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare shares with raw outputs, both (n, K)."""
        moved = y_pred + SHIFT
        # The second term decides only where a question has no output above 0.
        positive = ops.relu(moved) + 1e-7 * ops.exp(ops.clip(moved, LOWEST, 0.0))
        total = ops.matmul(ops.matmul(positive, self._of), self._of.T)
        conditional = positive / total
        shares = conditional
        for _ in range(self._levels):
            shares = conditional * (ops.matmul(shares, self._above) + self._first)
        return ops.mean(ops.square(shares - ops.cast(y_true, y_pred.dtype)), axis=-1)


class VoteLikelihood(keras.losses.Loss):
    """Negative log-likelihood of votes, Dirichlet-multinomial, summed over the questions asked."""

    def __init__(self, tree: Tree, **kwargs: Any) -> None:
        """Take the tree."""
        super().__init__(**kwargs)
        self._of = _membership(tree)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare votes with the logarithms of alpha, both (n, K)."""
        votes = ops.cast(y_true, y_pred.dtype)
        alpha = ops.exp(ops.clip(y_pred, *LIMITS))
        asked, total = ops.matmul(votes, self._of), ops.matmul(alpha, self._of)
        answers = log_gamma(alpha) - log_gamma(votes + alpha)
        questions = log_gamma(total + asked) - log_gamma(total)
        return ops.sum(answers, axis=1) + ops.sum(questions, axis=1)
