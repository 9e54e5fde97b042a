"""How well votes are predicted, and how well their uncertainties hold.

Arrays hold the K answers of all questions along their last axis (`galadapt.answers.votes.tree`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from galadapt.answers.bootstrap import intervals, resamples
from galadapt.answers.votes.distribution import (
    log_likelihood,
    model_variance,
    ranks,
    sampling_variance,
)
from galadapt.answers.votes.tree import Tree
from galadapt.core.random import generator

#: Central intervals whose coverage is measured.
LEVELS = {"coverage68": 0.68, "coverage90": 0.90}

#: Shares of the objects that are left out for the area under the sparsification error.
_LEFT_OUT = np.linspace(0, 0.95, 20)

#: Streams of the random numbers of `Predicted.positions` and `Predicted.redrawn`.
_RANK, _REDRAWN = 1, 2

#: Fewest votes expected for an answer, and for all others of its question, where coverage counts:
#: nobody doubts the rest, and intervals of no votes would always hold.
_EXPECTED = 0.5

#: An answer that volunteers give with at least this mean share is never predicted where the mean
#: predicted share is below such a part of it.
_GIVEN, _NEVER = 0.01, 0.05

#: How often votes are drawn from the predictions for the ECE of a calibrated method.
_DRAWS = 10


@dataclass(frozen=True)
class Predicted:
    """Votes of n objects, and what a method predicts of them.

    Attributes:
        tree: The questions.
        votes: (n, K).
        alphas: Parameters of the Dirichlet distributions, (n, K), calibrated.
        true: Shares of an unlimited number of volunteers, (n, K); None: unknown.
    """

    tree: Tree
    votes: np.ndarray
    alphas: np.ndarray
    true: np.ndarray | None = None

    @cached_property
    def shares(self) -> np.ndarray:
        """Predicted shares, (n, K)."""
        return self.tree.shares(self.tree.conditional(self.alphas))

    @cached_property
    def given(self) -> np.ndarray:
        """Shares of the volunteers, (n, K); NaN where nobody was asked a first question."""
        return self.tree.shares(self.tree.conditional(self.votes))

    @cached_property
    def asked(self) -> np.ndarray:
        """Volunteers at each question, (n, questions)."""
        return self.tree.asked(self.votes)

    @cached_property
    def squares(self) -> np.ndarray:
        """Mean squared error of each object's shares, (n,)."""
        return np.nanmean((self.shares - self.given) ** 2, axis=1)

    @cached_property
    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Variances of the shares, (n, K) each: unknown to the model, and of so few volunteers."""
        model = model_variance(self.alphas, self.tree)
        return model, sampling_variance(self.shares, model, np.maximum(self._volunteers, 1))

    @cached_property
    def _volunteers(self) -> np.ndarray:
        """Volunteers that each share is a share of, (n, K): those at its first question."""
        return self.asked[:, self.tree.first_of]

    @cached_property
    def positions(self) -> np.ndarray:
        """Where the votes lie in their predicted distribution, 0 to 1, (n, K); NaN: not asked.

        Votes are whole numbers: a position is drawn between the probability of fewer votes and
        that of at most as many, so that it is uniform where the distribution holds.
        """
        found = np.full(self.votes.shape, np.nan)
        of = self.tree.question_of
        rows, columns = np.nonzero(self.asked[:, of] >= 0.5)
        alpha = self.alphas[rows, columns]
        total = self.tree.asked(self.alphas)[rows, of[columns]]
        parts = ranks(
            self.votes[rows, columns], self.asked[rows, of[columns]], alpha, total - alpha
        )
        below, at = parts.T
        found[rows, columns] = below + generator(0, _RANK).random(len(below)) * at
        return found

    def metrics(self, bins: int) -> dict[str, Any]:
        """Compute the figures of all questions together."""
        likelihood = log_likelihood(self.votes, self.alphas, self.tree)
        asked = self.asked > 0
        model, sampling = (np.nanmean(self._where_given(one)) for one in self.variances)
        count = np.maximum(np.isfinite(self.given).sum(axis=0), 1)
        truth = np.nansum(self.given, axis=0) / count
        return {
            "n": len(self.votes),
            "rmse": float(np.sqrt(self.squares.mean())),
            "rmse_of_mean": float(np.sqrt(np.nanmean((self.given - truth) ** 2))),
            "floor": float(np.sqrt(self._floor())),
            "nll": float(-likelihood[asked].mean()),
            "model_error": float(np.sqrt(model)),
            "volunteer_error": float(np.sqrt(sampling)),
            "ece": self.ece(bins),
            "ece_calibrated": self.ece_calibrated(bins),
            "ause": self.ause(),
            "violation": self.tree.violation(self.shares),
            "never": int(((truth >= _GIVEN) & (self.shares.mean(axis=0) < _NEVER * truth)).sum()),
            **self.coverage(slice(None)),
        }

    def part_metrics(self, number: int, bins: int) -> dict[str, Any]:
        """Compute the figures of one question."""
        part, asked = self.tree.parts[number], self.asked[:, number] > 0
        likelihood = log_likelihood(self.votes, self.alphas, self.tree)[asked, number]
        squares = (self.shares[:, part] - self.given[:, part]) ** 2
        squares = squares[np.isfinite(squares)]
        return {
            "n": int(asked.sum()),
            "rmse": float(np.sqrt(squares.mean())) if len(squares) else float("nan"),
            "nll": float(-likelihood.mean()) if asked.any() else float("nan"),
            "ece": self.ece(bins, part),
            **self.coverage(part),
        }

    def _where_given(self, values: np.ndarray) -> np.ndarray:
        """Values (n, K); NaN where the volunteers' share is unknown."""
        return np.where(np.isnan(self.given), np.nan, values)

    def _floor(self) -> float:
        """Mean squared error of the true shares.

        Where they are unknown, it is estimated as if volunteers were independent; what they have in
        common adds to it.
        """
        if self.true is not None:
            return float(np.nanmean((self.true - self.given) ** 2))
        count = np.maximum(self._volunteers, 2)
        return float(np.nanmean(self.given * (1 - self.given) / (count - 1)))

    def coverage(self, part: slice) -> dict[str, float]:
        """Share of the votes inside their central intervals.

        Counted are answers for which, and against which, at least `_EXPECTED` votes are expected.
        Answers of questions with 2 count once, because the second follows from the first.
        """
        of, columns = self.tree.question_of, np.arange(len(self.tree.names))
        last = np.array([slice_.stop - 1 for slice_ in self.tree.parts])
        sizes = np.bincount(of)[of]
        counted = ~((sizes == 2) & np.isin(columns, last))
        asked = self.asked[:, of]
        expected = asked * self.tree.conditional(self.alphas)
        doubtful = np.minimum(expected, asked - expected) >= _EXPECTED
        inside = np.abs(np.where(doubtful, self.positions, np.nan) - 0.5)[:, part][:, counted[part]]
        inside = inside[np.isfinite(inside)]
        return {
            name: float((inside <= level / 2).mean()) if len(inside) else float("nan")
            for name, level in LEVELS.items()
        }

    def reliability(self, bins: int, part: slice = slice(None)) -> np.ndarray:
        """Compare predicted with given conditional shares, in bins of the predicted ones.

        Returns:
            (bins, 3): mean predicted share, share of the votes given, and number of the votes
            that could have been given.
        """
        asked = self.asked[:, self.tree.question_of][:, part].ravel()
        predicted = self.tree.conditional(self.alphas)[:, part].ravel()
        votes = self.votes[:, part].ravel()
        place = np.minimum((predicted * bins).astype(int), bins - 1)
        weight = np.bincount(place, asked, bins)
        with np.errstate(invalid="ignore"):
            mean = np.bincount(place, asked * predicted, bins) / weight
            given = np.bincount(place, votes, bins) / weight
        return np.stack([mean, given, weight], axis=1)

    def ece(self, bins: int, part: slice = slice(None)) -> float:
        """Expected calibration error: mean |predicted - given|, weighted by votes (Guo+ 2017).

        Each answer has bins of its own (class-wise, Kull+ 2019): in common ones, answers predicted
        too often make up for those predicted too rarely.
        """
        columns = range(len(self.tree.names))[part]
        each = [self.reliability(bins, slice(k, k + 1)) for k in columns]
        predicted, given, weight = np.concatenate(each).T
        filled = weight > 0
        if not filled.any():
            return float("nan")
        return float(np.average(np.abs(predicted - given)[filled], weights=weight[filled]))

    def redrawn(self, number: int) -> Predicted:
        """Return the same predictions with votes drawn from them, which differ by `number`."""
        rng = generator(0, _REDRAWN, number)
        chances = self.tree.conditional(rng.gamma(np.maximum(self.alphas, 1e-10)) + 1e-300)
        votes = np.zeros(self.votes.shape)
        for question, part in enumerate(self.tree.parts):
            asked = np.rint(self.asked[:, question]).astype(int)
            votes[:, part] = rng.multinomial(asked, chances[:, part])
        return replace(self, votes=votes)

    def ece_calibrated(self, bins: int) -> float:
        """Return the mean `ece` of votes drawn from the predictions: what so few votes leave."""
        return float(np.mean([self.redrawn(number).ece(bins) for number in range(_DRAWS)]))

    def sparsification(self) -> np.ndarray:
        """RMSE of what is left when the least certain objects are left out.

        Returns:
            (20, 3): share left out, RMSE ordered by predicted error, and by true error.
        """
        # Over the same answers as the squares: some galaxies lack a first question.
        predicted = np.nanmean(self._where_given(np.add(*self.variances)), axis=1)
        curves = [_LEFT_OUT]
        for order in (np.argsort(predicted, kind="stable"), np.argsort(self.squares)):
            running = np.cumsum(self.squares[order]) / np.arange(1, len(order) + 1)
            kept = np.maximum(np.rint((1 - _LEFT_OUT) * len(order)).astype(int), 1)
            curves.append(np.sqrt(running[kept - 1]))
        return np.stack(curves, axis=1)

    def ause(self) -> float:
        """Area between the curves of `sparsification`, over the RMSE of all (Ilg et al. 2018)."""
        _, predicted, true = self.sparsification().T
        return float((predicted - true).mean() / predicted[0]) if predicted[0] > 0 else 0.0

    def intervals(self, number: int, seed: int) -> dict[str, float]:
        """Central 68 % intervals of RMSE and NLL over objects drawn with replacement."""
        likelihood = log_likelihood(self.votes, self.alphas, self.tree)
        questions = (self.asked > 0).sum(axis=1)
        terms = np.stack([self.squares, -likelihood.sum(axis=1), questions], axis=1)
        drawn = [weights @ terms for weights in resamples(len(terms), number, seed)]
        squares, negative, asked = np.concatenate(drawn).T
        return intervals({"rmse": np.sqrt(squares / len(terms)), "nll": negative / asked})
