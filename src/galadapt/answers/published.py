"""Figures published by other works, for orientation beside ours.

They were measured on other data. A figure is shown beside a method of ours when it names that
method, and below our tables when it names none.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

#: Columns of a table of published figures; all but the value are text, "" where not stated.
COLUMNS = ["study", "variant", "method", "domain", "label", "item", "metric", "class", "value"]


def read_published(path: Path | None) -> pd.DataFrame:
    """Read the table of a task's published figures; empty where there is none (None)."""
    if path is None:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    table = pd.read_csv(path, dtype=dict.fromkeys(COLUMNS[:-1], str))
    return table.fillna(dict.fromkeys(COLUMNS[:-1], ""))


def beside(
    published: pd.DataFrame, variant: str, method: str, variants: Collection[str]
) -> pd.DataFrame:
    """Return the figures shown with one method of ours.

    A figure of the variant "any" stands with each of ours. One without a variant stands with its
    method only where we ran that in one variant: else it is unclear which of ours it belongs to.

    Args:
        published: From `read_published`.
        variant: Our variant.
        method: Our method; "" for what belongs to the variant as a whole.
        variants: All variants in which we ran the method.
    """
    here = published["variant"].isin([variant, "any"] if method else [variant])
    if method and len(variants) == 1:
        here |= published["variant"] == ""
    return published[here & (published["method"] == method)]
