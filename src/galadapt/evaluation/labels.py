"""Which methods have seen survey labels: themselves, or in what they start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galadapt.errors import DataError

Settings = Mapping[str, Any]


def label_free(method: str, settings: Mapping[str, Settings]) -> bool:
    """Tell whether no survey label has reached a method's network.

    Args:
        method: Its name.
        settings: {method: its settings, as plain values}, with those of all that it starts from.

    Raises:
        DataError: the settings of a start are missing.
    """
    seen: set[str] = set()
    name: str | None = method
    while name is not None and name not in seen:
        seen.add(name)
        if name not in settings:
            raise DataError(
                f"method '{method}' starts from '{name}', of which no run is given, so that nobody "
                "can tell whether it has seen survey labels; name its runs too"
            )
        if _sees_labels(settings[name]):
            return False
        name = settings[name]["starts_from"]
    return True


def _sees_labels(settings: Settings) -> bool:
    # R1's fixed mask vector hides places of a batch, whoever stands there: labels slip through.
    alignment = settings["alignment"] or {}
    return bool(settings["survey_labels"]) or alignment.get("masking") == "fixed_vector"
