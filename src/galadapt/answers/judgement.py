"""The metrics of one run, as tidy rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

#: Splits in the order that metrics are computed for.
SPLITS = ("test", "validation", "train")


@dataclass
class Judgement:
    """What evaluation finds out about one run."""

    #: Metrics: domain, split, item (a quantity, a set of classes), metric, value.
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: Metrics of parts of the test sets, with `by` (what divides) and `level` (which part).
    breakdown: list[dict[str, Any]] = field(default_factory=list)
    #: Further tables, by the names of their files.
    files: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  #: sentences for the log

    def add(self, domain: str, split: str, item: str, values: dict[str, Any]) -> None:
        """Add the metrics of one item on one set."""
        place = {"domain": domain, "split": split, "item": item}
        self.rows += [{**place, "metric": name, "value": value} for name, value in values.items()]

    def add_part(self, domain: str, item: str, by: str, level: str, values: dict[str, Any]) -> None:
        """Add the metrics of one item on a part of a test set."""
        place = {"domain": domain, "item": item, "by": by, "level": level}
        self.breakdown += [
            {**place, "metric": name, "value": value} for name, value in values.items()
        ]

    @property
    def tested(self) -> bool:
        """Whether any test set could be judged."""
        return any(row["split"] == "test" for row in self.rows)
