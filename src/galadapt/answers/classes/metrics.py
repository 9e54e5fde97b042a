"""Metrics of predicted classes.

Truth is an array of class numbers, shape (n,); a prediction is one probability per class, shape
(n, k), in which a row that is not finite is a failed prediction. A prediction's class is its
most probable one. Metrics are taken over the predictions that did not fail; those not defined for
a set without some class are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.metrics import (
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from galadapt.answers.bootstrap import intervals, resamples

#: Figures whose uncertainty `class_intervals` gives.
WITH_INTERVALS = ("accuracy", "balanced_accuracy", "auc")


def answers(probabilities: np.ndarray) -> np.ndarray:
    """Return the most probable class of each finite prediction, the first of equal ones."""
    return probabilities.argmax(axis=1)


def answered(probabilities: np.ndarray) -> np.ndarray:
    """Tell which predictions did not fail, shape (n,)."""
    return np.isfinite(probabilities).all(axis=1)


def area_under_roc(
    positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Area under the ROC curve; NaN where all objects are of one kind."""
    if positive.all() or not positive.any():
        return float("nan")
    return float(roc_auc_score(positive, score, sample_weight=weights))


def auc(true: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Area under the ROC curve of a set of classes.

    Two classes: that of the last one. More: the mean of each class against the rest, over the
    classes that occur (macro average). NaN where no class can be told from another.
    """
    count = probabilities.shape[1]
    ranked = [1] if count == 2 else range(count)
    areas = np.array([area_under_roc(true == k, probabilities[:, k], weights) for k in ranked])
    return float(np.nanmean(areas)) if not np.isnan(areas).all() else float("nan")


def class_metrics(
    true: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Figures of one set of predictions of the classes `names`.

    Returns:
        ``n``, ``failed``; ``accuracy``; ``balanced_accuracy`` (mean recall of the classes that
        occur); ``auc`` (see `auc`); ``loss`` (cross-entropy, nat); ``brier`` (squared distance of
        the probabilities from the truth, halved, 0 to 1); and under ``classes`` per name ``n``,
        ``recall``, ``precision``, ``f1``, ``auc`` (against the rest).
    """
    good = answered(probabilities)
    total = np.bincount(true, minlength=len(names))
    everything = np.arange(len(names))
    undefined = ("accuracy", "balanced_accuracy", "auc", "loss", "brier")
    found: dict[str, Any] = {
        "n": len(true),
        "failed": int((~good).sum()),
        **dict.fromkeys(undefined, float("nan")),
    }
    recall = precision = f1 = areas = np.full(len(names), np.nan)
    true, probabilities = true[good], probabilities[good]
    if len(true):
        # Networks give float32, whose sums miss 1 by more than a float64 loss allows.
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
        answer = answers(probabilities)
        precision, recall, f1, support = precision_recall_fscore_support(
            true, answer, labels=everything, zero_division=np.nan
        )
        # Precision and F1 of a class that does not occur are not defined.
        precision, f1 = np.where(support > 0, [precision, f1], np.nan)
        areas = np.array([area_under_roc(true == k, probabilities[:, k]) for k in everything])
        brier = brier_score_loss(true, probabilities, labels=everything, scale_by_half=True)
        found |= {
            "accuracy": float((answer == true).mean()),
            "balanced_accuracy": float(np.nanmean(recall)),
            "auc": auc(true, probabilities),
            "loss": float(log_loss(true, probabilities, labels=everything)),
            "brier": float(brier),
        }
    parts = {"n": total, "recall": recall, "precision": precision, "f1": f1, "auc": areas}
    found["classes"] = {
        name: {figure: values[k].item() for figure, values in parts.items()}
        for k, name in enumerate(names)
    }
    return found


def class_intervals(
    true: np.ndarray, probabilities: np.ndarray, group: np.ndarray, number: int, seed: int
) -> dict[str, float]:
    """Central 68 % intervals of `WITH_INTERVALS` when the GROUPS of the test set are drawn anew.

    Stamps of one frame share its sky and its optics, so they are not independent. A resample
    without one of the test set's classes has no balanced accuracy and no AUC, and is left out of
    theirs. `group` is what the stamps belong to, shape (n,); `number` counts resamples.

    Returns:
        ``<figure>_low`` and ``<figure>_high``; NaN for fewer than two groups.
    """
    good = answered(probabilities)
    true, probabilities = true[good], probabilities[good]
    units, unit = np.unique(group[good], return_inverse=True)
    draws: dict[str, list[float]] = {name: [] for name in WITH_INTERVALS}
    if len(units) > 1:
        correct = (answers(probabilities) == true).astype(float)
        member = np.stack([true == k for k in np.unique(true)]).astype(float)
        for weights in resamples(len(units), number, seed):
            for weight in weights[:, unit]:
                draws["accuracy"].append(weight @ correct / weight.sum())
                size = member @ weight
                if (size == 0).any():
                    continue
                draws["balanced_accuracy"].append(
                    float((member @ (weight * correct) / size).mean())
                )
                drawn = weight > 0
                draws["auc"].append(auc(true[drawn], probabilities[drawn], weight[drawn]))
    return intervals({name: np.array(values) for name, values in draws.items()})


def group_vote(
    true: np.ndarray,
    probabilities: np.ndarray,
    group: np.ndarray,
    kind: Literal["mean", "majority"],
) -> dict[str, Any] | None:
    """Figures of groups, shape (n,), whose stamps vote on one class; failed ones have no vote.

    Args:
        kind: mean: the largest mean probability; majority: the most frequent class, ties by mean
            probability.

    Returns:
        ``n`` (groups judged), ``mixed`` (groups with stamps of several classes, which have no one
        truth and are left out), ``failed`` (groups without a prediction), ``accuracy`` and
        ``balanced_accuracy``; None where no group holds more than one stamp.
    """
    units, unit = np.unique(group, return_inverse=True)
    if len(units) == len(group):
        return None
    count = probabilities.shape[1]
    labels = np.zeros((len(units), count))
    np.add.at(labels, (unit, true), 1)
    mixed = (labels > 0).sum(axis=1) > 1
    good = answered(probabilities)
    votes = np.zeros((len(units), count))
    np.add.at(votes, unit[good], probabilities[good])
    voters = np.bincount(unit[good], minlength=len(units))
    if kind == "majority":
        ballots = np.zeros((len(units), count))
        np.add.at(ballots, (unit[good], answers(probabilities[good])), 1)
        # Mean probabilities are below 1, so they decide between equal numbers only.
        votes = ballots + 0.5 * votes / np.maximum(voters, 1)[:, None]
    judged = ~mixed & (voters > 0)
    truth, answer = labels[judged].argmax(axis=1), votes[judged].argmax(axis=1)
    recalls = [(answer[truth == k] == k).mean() for k in np.unique(truth)]
    return {
        "n": int(judged.sum()),
        "mixed": int(mixed.sum()),
        "failed": int((~mixed & (voters == 0)).sum()),
        "accuracy": float((answer == truth).mean()) if len(truth) else float("nan"),
        "balanced_accuracy": float(np.mean(recalls)) if recalls else float("nan"),
    }


def merged(probabilities: np.ndarray, members: Sequence[np.ndarray]) -> np.ndarray:
    """Add up the probabilities of classes that form coarser ones, shape (n, len(members))."""
    return np.stack([probabilities[:, of].sum(axis=1) for of in members], axis=1)
