"""Published figures of classification tasks, for orientation: R2 (stars) and R3 (screening).

They were measured on other data than ours. A figure is shown beside a method of ours when it names
that method, and below our tables when it names none.
"""

from __future__ import annotations

from importlib import resources

import pandas as pd

#: The work that published figures of a task.
WORKS = {"stars": "R2", "screening": "R3"}

_COLUMNS = ["study", "variant", "method", "label", "metric", "class", "value"]


def published_classes(task: str) -> pd.DataFrame:
    """Return the published figures of a task in long form, none for a task without.

    Returns:
        Text columns `study`, `variant` and `method` ("": not stated, or of no one method),
        `label`, `metric` (ours where ours exists), `class` ("": of all) and float `value`.
    """
    if task not in WORKS:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in _COLUMNS})
    source = resources.files("galadapt.evaluation").joinpath(f"published_{task}.csv")
    with source.open() as stream:
        table = pd.read_csv(stream, dtype=dict.fromkeys(_COLUMNS[:-1], str))
    return table.fillna(dict.fromkeys(_COLUMNS[:-1], ""))


def beside(published: pd.DataFrame, variant: str, method: str, variants: list[str]) -> pd.DataFrame:
    """Return the figures that stand beside one method of ours.

    A figure without a variant stands with its method only where we ran that method in one variant:
    otherwise there is no telling which of ours it belongs to.

    Args:
        published: As `published_classes` returns them.
        variant: Our variant.
        method: Our method; "" asks for what belongs to the variant as a whole.
        variants: All variants in which we ran the method.
    """
    here = published["variant"] == variant
    if method and len(variants) == 1:
        here |= published["variant"] == ""
    found: pd.DataFrame = published[here & (published["method"] == method)]
    return found
