"""What a method's network was trained on, including the methods it starts from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from galadapt.core.errors import DataError

Settings = Mapping[str, Any]


def label_free(method: str, settings: Mapping[str, Settings]) -> bool:
    """Tell whether no survey label has reached a method's network.

    Args:
        method: Its name.
        settings: {method: its settings, as plain values}, with those of all that it starts from.

    Raises:
        DataError: the settings of a start are missing.
    """
    return not any(_sees_labels(one) for one in _lineage(method, settings))


def survey_free(method: str, settings: Mapping[str, Settings]) -> bool:
    """Tell whether a method's network has seen nothing of the survey; as `label_free`."""
    return not any("survey" in one["domains"] for one in _lineage(method, settings))


def simulation_of(method: str, settings: Mapping[str, Settings]) -> str:
    """Name the simulation a method learned from, "" for the experiment's; as `label_free`."""
    named = (one.get("simulation") for one in _lineage(method, settings))
    return next((str(name) for name in named if name), "")


def adapts(method: str, settings: Mapping[str, Settings]) -> bool:
    """Tell whether a method adapts a network to the survey; as `label_free`.

    It does if the network learned from simulated stamps and, beside them, from survey stamps or
    from another simulation than the experiment's. An estimator is no network.
    """
    if settings[method].get("learner", {}).get("kind") == "sklearn":
        return False
    domains = {name for one in _lineage(method, settings) for name in one["domains"]}
    return "simulated" in domains and ("survey" in domains or bool(simulation_of(method, settings)))


def _lineage(method: str, settings: Mapping[str, Settings]) -> Iterator[Settings]:
    """Yield the settings of a method, of that it builds on, of that one's and so on."""
    seen: set[str] = set()
    name: str | None = method
    while name is not None and name not in seen:
        seen.add(name)
        if name not in settings:
            raise DataError(
                f"method '{method}' builds on '{name}', of which no run is given, so that its "
                "training data are unknown; name its runs too"
            )
        yield settings[name]
        features_from = settings[name].get("learner", {}).get("features_from")
        name = settings[name]["starts_from"] or features_from


def _sees_labels(settings: Settings) -> bool:
    # A fixed mask vector hides positions of a batch, not stamps: some survey labels are used.
    alignment = settings["alignment"] or {}
    return bool(settings["survey_labels"]) or alignment.get("masking") == "fixed_vector"
