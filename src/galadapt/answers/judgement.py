"""The metrics of one run, as tidy rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from galadapt.config.base import DOMAINS


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


def sets(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield domain, split and rows of each set that has any, of a domain the test set first."""
    for domain, split in itertools.product(DOMAINS, ("test", "validation", "train")):
        rows = table[(table["domain"] == domain) & (table["split"] == split)]
        if len(rows):
            yield domain, split, rows


def _tidy(values: dict[str, Any], **place: str) -> list[dict[str, Any]]:
    return [{**place, "metric": name, "value": value} for name, value in values.items()]
