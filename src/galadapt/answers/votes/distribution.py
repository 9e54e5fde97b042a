"""The Dirichlet-multinomial distribution of the votes of each question.

The answers of a question that n volunteers reached are drawn with conditional shares that follow a
Dirichlet distribution of parameters alpha; their sum A is the concentration. Its mean alpha / A is
the predicted conditional share p, and p (1 - p) / (A + 1) is the variance of what the model does
not know of it (Walmsley et al. 2020, eq. 5; Minka 2000).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import betabinom

from galadapt.answers.votes.tree import Tree

#: Largest concentration: a prediction without a distribution of its own.
LARGEST = 1e4

#: Answers whose ranks are computed at once.
_RANKED = 50_000

#: Range in which temperatures are looked for, as natural logarithms.
_TEMPERATURES = (np.log(1e-5), np.log(1e3))

#: By how much the logarithms of the questions' temperatures differ.
_SCATTER = 1.0


def moments(alphas: np.ndarray, tree: Tree) -> np.ndarray:
    """Join samples of a model's Dirichlet distributions into one of equal mean and variance.

    Args:
        alphas: (n, S, K), above 0.

    Returns:
        (n, K). The mean of the conditional shares is exact; the concentration of a question gives
        the variance, within and between samples, summed over its answers.
    """
    total = tree.asked(alphas)[..., tree.question_of]
    shares = alphas / total
    mean = shares.mean(axis=1)
    within = (shares * (1 - shares) / (total + 1)).mean(axis=1)
    variance = tree.asked(within + shares.var(axis=1))
    spread = tree.asked(mean * (1 - mean))
    with np.errstate(divide="ignore", invalid="ignore"):
        concentration = np.where(variance > 0, spread / variance - 1, LARGEST)
    concentration = np.clip(concentration, 1e-3, LARGEST)
    return mean * concentration[..., tree.question_of]


def log_likelihood(votes: np.ndarray, alphas: np.ndarray, tree: Tree) -> np.ndarray:
    """Natural logarithm of the probability of the votes of each question, (n, questions).

    0 where nobody was asked. The order of the volunteers does not count (the multinomial
    coefficient is included).
    """
    alphas = np.maximum(alphas, 1e-10)
    asked, total = tree.asked(votes), tree.asked(alphas)
    each = gammaln(votes + alphas) - gammaln(alphas) - gammaln(votes + 1)
    found: np.ndarray = (
        gammaln(total) - gammaln(total + asked) + gammaln(asked + 1) + tree.asked(each)
    )
    return np.where(asked > 0, found, 0.0)


def temperatures(votes: np.ndarray, alphas: np.ndarray, tree: Tree) -> np.ndarray:
    """Find the factor of each question's concentrations that makes the votes most likely.

    Few votes fit almost any factor, however large. The logarithms are therefore taken to scatter by
    `_SCATTER` around that of the one factor that suits the votes of all questions best.

    Args:
        votes: (n, K), of validation objects.
        alphas: (n, K), predicted.

    Returns:
        (questions,); where nobody was asked, the common factor, or 1 if nobody was asked anything.
    """
    asked = tree.asked(votes) > 0
    if not asked.any():
        return np.ones(len(tree.questions))
    common = _log_temperature(votes, alphas, tree)
    found = np.full(len(tree.questions), common)
    for number, part in enumerate(tree.parts):
        rows = asked[:, number]
        own = Tree((replace(tree.questions[number], parent=""),))
        if rows.any():
            found[number] = _log_temperature(votes[rows, part], alphas[rows, part], own, common)
    return np.exp(found)


def _log_temperature(
    votes: np.ndarray, alphas: np.ndarray, tree: Tree, common: float | None = None
) -> float:
    def cost(log: float) -> float:
        scatter = 0.0 if common is None else (log - common) / _SCATTER
        return 0.5 * scatter**2 - float(log_likelihood(votes, np.exp(log) * alphas, tree).sum())

    return float(minimize_scalar(cost, bounds=_TEMPERATURES, method="bounded").x)


def model_variance(alphas: np.ndarray, tree: Tree) -> np.ndarray:
    """Variance of the shares that the model does not know, (n, K).

    The shares of different questions are independent, so the mean square of a product is the
    product of the mean squares.
    """
    total = tree.asked(alphas)[..., tree.question_of]
    mean = alphas / total
    square = mean**2 + mean * (1 - mean) / (total + 1)
    return np.maximum(tree.shares(square) - tree.shares(mean) ** 2, 0.0)


def sampling_variance(shares: np.ndarray, model: np.ndarray, volunteers: Any) -> np.ndarray:
    """Variance of the shares among so few volunteers, (n, K), beside that of `model_variance`.

    It is the mean of the binomial variance over the shares that the model holds possible; with the
    model's it adds up to the variance of the shares that are observed.
    """
    return np.maximum(shares * (1 - shares) - model, 0.0) / volunteers


def ranks(votes: np.ndarray, asked: np.ndarray, alpha: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return how much probability lies below the votes of an answer, and at them.

    Args:
        votes: Of the answer, (m,), rounded to whole ones.
        asked: Volunteers at its question, (m,).
        alpha: Parameter of the answer, (m,).
        rest: Sum of the others, (m,).

    Returns:
        (m, 2), of the beta-binomial distribution.
    """
    votes, asked = np.rint(votes).astype(int), np.rint(asked).astype(int)
    alpha, rest = np.maximum(alpha, 1e-10), np.maximum(rest, 1e-10)
    found = np.zeros((len(votes), 2))
    for start in range(0, len(votes), _RANKED):
        some = slice(start, start + _RANKED)
        count = np.arange(asked[some].max() + 1)
        mass = betabinom.pmf(count, asked[some, None], alpha[some, None], rest[some, None])
        found[some, 0] = (mass * (count < votes[some, None])).sum(axis=1)
        found[some, 1] = np.take_along_axis(mass, votes[some, None], axis=1)[:, 0]
    return found
