"""Find methods that differ only in their number of training stamps."""

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

#: Settings without effect on a training.
_WORDS = ("description",)


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


def curves(methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[Curve]:
    """Find the curves of an experiment, in the order of their first method.

    `methods` are those that are run, `settings` those of each method, as plain values.
    """
    found = []
    for key in COUNTED:
        families: dict[str, list[Point]] = {}
        for name in methods:
            same = {k: v for k, v in settings[name].items() if k not in (key, *_WORDS)}
            point = Point(name, settings[name][key])
            families.setdefault(canonical_json(same), []).append(point)
        for points in families.values():
            if len({point.number for point in points}) < 2:
                continue
            ordered = sorted(points, key=lambda p: (p.number is None, p.number or 0))
            start = settings[points[0].method]["starts_from"]
            if key == "n_survey" and start is not None and label_free(start, settings):
                ordered.insert(0, Point(start, 0))
            found.append(Curve(key, tuple(ordered)))
    return found
