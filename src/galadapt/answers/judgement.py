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
        self.rows += _tidy(values, domain=domain, split=split, item=item)

    def add_part(self, domain: str, item: str, by: str, level: str, values: dict[str, Any]) -> None:
        """Add the metrics of one item on a part of a test set."""
        self.breakdown += _tidy(values, domain=domain, item=item, by=by, level=level)

    @property
    def tested(self) -> bool:
        """Whether any test set could be judged."""
        return any(row["split"] == "test" for row in self.rows)


def _tidy(values: dict[str, Any], **place: str) -> list[dict[str, Any]]:
    return [{**place, "metric": name, "value": value} for name, value in values.items()]
