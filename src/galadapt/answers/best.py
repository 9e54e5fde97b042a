"""Figures with their errors, and sentences that tell which method is best, if any is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Sigmas by which a method must lead to be called best.
CLEAR = 2.0


@dataclass(frozen=True)
class Cell:
    """One figure: mean over seeds, their scatter, and the bootstrap interval (NaN: none)."""

    mean: float
    std: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def text(self) -> str:
        """The value as tables print it."""
        return number(self.mean) + ("" if math.isnan(self.std) else f" ± {self.std:.3f}")

    @property
    def interval(self) -> str:
        """The bootstrap interval as tables print it."""
        return f"{number(self.low)} to {number(self.high)}"

    @property
    def error(self) -> float:
        """Seed scatter and test-set scatter, added in quadrature."""
        seeds = 0.0 if math.isnan(self.std) else self.std
        tests = 0.0 if math.isnan(self.high - self.low) else (self.high - self.low) / 2
        return math.hypot(seeds, tests)


def number(value: float) -> str:
    """Print a figure: three decimals, or fewer where it is so large that they mean nothing."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"


@dataclass(frozen=True)
class _Contest:
    """The two methods that come first in one figure."""

    leader: str
    first: Cell
    follower: str
    second: Cell

    @property
    def difference(self) -> float:
        return abs(self.first.mean - self.second.mean)

    @property
    def margin(self) -> float:
        """Error of the difference: both errors (seeds and test set), added in quadrature.

        Methods share the test set, so that the bootstrap's part is an upper limit.
        """
        return math.hypot(self.first.error, self.second.error)

    @property
    def open(self) -> bool:
        """Whether the difference is not significant."""
        return self.margin > 0 and self.difference <= CLEAR * self.margin

    @property
    def pair(self) -> tuple[str, str]:
        """Both figures with their errors."""
        first, second = (f"{number(c.mean)} ± {c.error:.3f}" for c in (self.first, self.second))
        return first, second


#: What methods are ranked by: how sentences name the figure, and the method's name and value.
Figure = tuple[str, Sequence[tuple[str, Cell]]]


def best(place: str, measure: str, figures: Sequence[Figure], smallest: bool = False) -> list[str]:
    """State which method is best in each figure and by how much, or that the data do not tell.

    A method is called best only if it is ahead of the next one by `CLEAR` times the error of the
    difference. Figures in which none is share a sentence. Larger figures are better unless
    `smallest`; NaN is left out.

    Args:
        place: Where the figures were measured.
        measure: What the figures are values of, such as R²; "": their names state it.
        figures: Name of each figure, such as the quantity, and the values of the methods.
        smallest: Whether smaller is better.
    """
    contests = {name: _contest(candidates, smallest) for name, candidates in figures}
    undecided = {name: one for name, one in contests.items() if one is not None and one.open}
    together = len(undecided) > 1
    sentences = [
        _verdict(place, name, measure or name, one, smallest)
        for name, one in contests.items()
        if not (together and name in undecided)
    ]
    return [*sentences, *(_undecided(place, measure, undecided) if together else ())]


def _contest(candidates: Sequence[tuple[str, Cell]], smallest: bool) -> _Contest | None:
    known = [(name, cell) for name, cell in candidates if not math.isnan(cell.mean)]
    ranked = sorted(known, key=lambda one: one[1].mean if smallest else -one[1].mean)
    return _Contest(*ranked[0], *ranked[1]) if len(ranked) > 1 else None


def _verdict(place: str, name: str, measure: str, one: _Contest | None, smallest: bool) -> str:
    place = f"{place}, {name}"
    if one is None:
        return f"{place}: fewer than two methods have a defined {measure}."
    ours, theirs = one.pair
    if one.difference == 0:
        both = f"{one.leader} and {one.follower}"
        return f"{place}: {both} have the same {measure}, {number(one.first.mean)}."
    if one.margin == 0:
        return (
            f"{place}: {one.leader} leads {one.follower} ({measure} {number(one.first.mean)} "
            f"against {number(one.second.mean)}); without error bars this is no ranking."
        )
    if one.open:
        return (
            f"{place}: no clear best. {one.leader} ({measure} {ours}) and {one.follower} "
            f"({theirs}) differ by {number(one.difference)}, less than {CLEAR:g} times the error "
            f"of that difference ({one.margin:.3f})."
        )
    side = "below" if smallest else "above"
    return (
        f"{place}: {one.leader} is best ({measure} {ours}), {number(one.difference)} {side} "
        f"{one.follower} ({theirs})."
    )


def _undecided(place: str, measure: str, contests: Mapping[str, _Contest]) -> Iterator[str]:
    """State once that several figures have no clear best, then which methods come first."""
    *names, last = contests
    listed = f"{', '.join(names)} and {last}"
    yield (
        f"{place}: no clear best in {f'{measure} ({listed})' if measure else listed}. The first "
        f"two methods differ by less than {CLEAR:g} times the error of that difference."
    )
    pairs: dict[tuple[str, str], list[str]] = {}
    for name, one in contests.items():
        pairs.setdefault((one.leader, one.follower), []).append(f"{name} ({', '.join(one.pair)})")
    for (leader, follower), parts in pairs.items():
        yield f"{place}: {leader} first, {follower} second in {', '.join(parts)}."
