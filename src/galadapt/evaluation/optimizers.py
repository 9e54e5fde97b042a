"""Find methods that differ only in how their networks are stepped towards the minimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from galadapt.core.files import canonical_json

#: Settings in which the compared methods may differ.
_VARIED = ("optimizer", "learning_rate", "description")


def families(methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """List groups of methods of an experiment that differ in nothing but optimiser and rate.

    `methods` are those that are run, `settings` those of each method, as plain values. A group has
    at least two optimisers.
    """
    found: dict[str, list[str]] = {}
    for name in methods:
        same = {key: value for key, value in settings[name].items() if key not in _VARIED}
        found.setdefault(canonical_json(same), []).append(name)

    def kinds(names: list[str]) -> set[str]:
        return {canonical_json(settings[name]["optimizer"]) for name in names}

    return [names for names in found.values() if len(kinds(names)) > 1]
