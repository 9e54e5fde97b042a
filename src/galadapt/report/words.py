"""What the report of a task needs besides its results: title, facts, caveats, published figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Configuration = Mapping[str, Any]

#: Lines of a list of terms: (term, text).
Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Words:
    """The words of a task."""

    title: str  #: title of the page
    lead: str  #: its first sentence
    facts: Callable[[Configuration], Facts]  #: what the configuration states about the data
    #: What the figures do not show, from the configuration and the numbers of test objects per
    #: domain of each run.
    caveats: Callable[[Configuration, Sequence[Mapping[str, int]]], list[str]]
    work: str  #: short name of the published work shown for comparison
    published: Path | None  #: its figures (`galadapt.answers.published`); None: there are none


def class_words(title: str, lead: str, work: str, published: Path) -> Words:
    """Return the words of a task with classes."""
    return Words(title, lead, _class_facts, _class_caveats, work, published)


def _class_facts(configuration: Configuration) -> Facts:
    """State where the stamps of a task with classes come from."""

    sources = {"simulated": "simulated", "survey": "your own"}
    used = [text for name, text in sources.items() if configuration.get(name) is not None]
    return [("Task", str(configuration["task"])), ("Images", " and ".join(used))]


def _class_caveats(configuration: Configuration, tests: Sequence[Mapping[str, int]]) -> list[str]:
    """State what the figures of predicted classes do not show."""
    lines = [
        "Classes are unequally frequent, so that accuracy mostly reflects the most frequent one. "
        "Balanced accuracy is the mean recall of the classes.",
        "Stamps of one frame or observation are similar: bootstrap intervals therefore resample "
        "frames or observations, not stamps, and are wide where these are few.",
        "Published figures were measured on the images of their own work.",
    ]
    if configuration.get("simulated") is not None:
        lines.append(
            "Simulated images contain only the defects that were simulated. Success on them is "
            "necessary, not sufficient, for real ones."
        )
    leaking = [
        name
        for name in configuration.get("methods") or []
        if configuration["method_settings"][name].get("split") == "stamp"
    ]
    if leaking:
        lines.append(
            f"{', '.join(leaking)}: split by stamp, so that stamps of one frame are in training "
            "and test sets. The score shows how much such a split inflates it."
        )
    return lines
