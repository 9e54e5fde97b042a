"""What a table of figures with error bars allows to say, and no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Sigmas by which a method must lead to be called best.
CLEAR = 2.0


@dataclass(frozen=True)
class Cell:
    """One figure: mean over seeds, their scatter, and the bootstrap interval (NaN: none)."""

    mean: float
    std: float
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
    """Print a figure: three decimals, or fewer where it is so large that they say nothing."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"


def best(place: str, figure: str, candidates: Sequence[tuple[str, Cell]]) -> str:
    """Say which method leads in a figure, and whether its error bars carry that.

    A method is called best only if it is ahead of the next one by `CLEAR` times both error bars
    (seed scatter and bootstrap of the test set) combined in quadrature. Methods share the test
    set, so the bootstrap's part is on the safe side.

    Args:
        place: What the sentence is about.
        figure: Name of the figure.
        candidates: (method, its figure); larger is better, NaN is left out.
    """
    ranked = sorted(
        ((cell.mean, name, cell.error) for name, cell in candidates if not math.isnan(cell.mean)),
        key=lambda found: -found[0],
    )
    if len(ranked) < 2:
        return f"{place}: fewer than two methods have a defined {figure}."
    (first, leader, error), (second, follower, next_error) = ranked[:2]
    margin = math.hypot(error, next_error)
    distance = (first - second) / margin if margin > 0 else math.inf
    lead = (
        f"{number(first)} against {number(second)}, {distance:.1f} sigma of seed scatter and "
        "bootstrap combined"
    )
    if distance > CLEAR:
        return f"{place}: {leader} is best, ahead of {follower} ({lead})."
    return f"{place}: no clear best; {leader} leads {follower} ({lead})."
