"""Find methods that differ in one thing only: their number of training stamps, or the optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from galadapt.core.files import canonical_json
from galadapt.evaluation.labels import label_free

#: Settings whose number is varied, and what it counts.
COUNTED = {
    "n_survey": "labelled survey galaxies in training",
    "n_simulated": "simulated galaxies in training",
}

#: What methods may differ in beside it: without effect on a training.
_WORDS = ("description",)

#: How networks are stepped towards the minimum.
_STEPS = ("optimizer", "learning_rate")


@dataclass(frozen=True)
class Point:
    """One method of a curve; `number` None means all there are."""

    method: str
    number: int | None


@dataclass(frozen=True)
class Curve:
    """Methods that differ in one number only, by that number, all there are last."""

    setting: str  #: one of `COUNTED`
    #: The methods. Where survey labels are counted and the methods start from one that has seen
    #: none, this start stands first, at 0.
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """The method with the largest number."""
        return self.points[-1].method


def _alike(
    methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]], varied: Sequence[str]
) -> list[list[str]]:
    """Group the methods that differ in nothing but the varied settings."""
    found: dict[str, list[str]] = {}
    for name in methods:
        same = {k: v for k, v in settings[name].items() if k not in (*varied, *_WORDS)}
        found.setdefault(canonical_json(same), []).append(name)
    return list(found.values())


def of_optimizers(
    methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]
) -> list[list[str]]:
    """List the groups that differ in nothing but optimiser and rate, each of several optimisers.

    Arguments are those of `curves`.
    """
    return [
        names
        for names in _alike(methods, settings, _STEPS)
        if len({canonical_json(settings[name]["optimizer"]) for name in names}) > 1
    ]


def curves(methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[Curve]:
    """Find the curves of an experiment, in the order of their first method.

    `methods` are those that are run, `settings` those of each method, as plain values.
    """
    found = []
    for key in COUNTED:
        for names in _alike(methods, settings, [key]):
            points = [Point(name, settings[name][key]) for name in names]
            if len({point.number for point in points}) < 2:
                continue
            ordered = sorted(points, key=lambda p: (p.number is None, p.number or 0))
            start = settings[points[0].method]["starts_from"]
            if key == "n_survey" and start is not None and label_free(start, settings):
                ordered.insert(0, Point(start, 0))
            found.append(Curve(key, tuple(ordered)))
    return found
