"""The few numbers that stand for a run wherever there is no room for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galadapt.core.quantity import PARAMETERS

Number = float | None

#: Names of a classifier's headline numbers in metrics.json, and as they are printed.
CLASS_METRICS = {"balanced_accuracy": "balanced accuracy", "accuracy": "accuracy", "auc": "AUC"}


def classifies(metrics: Mapping[str, Any]) -> bool:
    """Tell whether a metrics.json is that of a classifier."""
    return "class_names" in metrics


def headings(metrics: Mapping[str, Any]) -> list[str]:
    """Name the headline numbers of a metrics.json, as a table's head prints them."""
    if classifies(metrics):
        return list(CLASS_METRICS.values())
    return [f"R² {name.replace('_', ' ')}" for name in PARAMETERS]


def headline(metrics: Mapping[str, Any], test: Mapping[str, Any]) -> list[Number]:
    """Return the headline numbers of one test set.

    Args:
        metrics: The whole metrics.json.
        test: Its ``domains.<domain>.test``.
    """
    if classifies(metrics):
        return [test[name] for name in CLASS_METRICS]
    return [test[name]["r2"] for name in PARAMETERS]


def counts(metrics: Mapping[str, Any], test: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many objects a test set holds and how many have no finite prediction."""
    of = test if classifies(metrics) else test[PARAMETERS[0]]
    return int(of["n"]), int(of["failed"])


def logged(metrics: Mapping[str, Any]) -> dict[str, Number]:
    """Name the final metrics of a run for a table that sorts and cuts names.

    The headline numbers are ungrouped (``r2_survey_magnitude``, ``auc_simulated``); everything else
    is in a group of the domain's name (``survey/bias_magnitude``).
    """
    found: dict[str, Number] = {}
    # The survey first: plots open with the metric logged first.
    for domain, splits in sorted(metrics["domains"].items(), reverse=True):
        test = splits.get("test", {})
        if not test:
            continue
        if classifies(metrics):
            found |= {f"{name}_{domain}": test[name] for name in CLASS_METRICS}
            found[f"{domain}/loss"] = test["loss"]
            for name, values in test["classes"].items():
                found[f"{domain}/recall_{name}"] = values["recall"]
                found[f"{domain}/precision_{name}"] = values["precision"]
            vote = test.get("vote") or {}
            found |= {f"{domain}/vote_{name}": vote.get(name) for name in CLASS_METRICS}
            continue
        for parameter in PARAMETERS:
            values = test[parameter]
            found[f"r2_{domain}_{parameter}"] = values["r2"]
            for key in ("bias", "scatter", "outlier_fraction", "completeness"):
                found[f"{domain}/{key}_{parameter}"] = values[key]
    found["separability_auc"] = (metrics.get("separability") or {}).get("auc")
    return found
