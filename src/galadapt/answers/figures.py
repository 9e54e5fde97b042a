"""Figures of one run and of all runs, of any kind of answer.

The module of figures of a kind has them in tables by name: ``RUN_FIGURES``, functions of a run's
predictions table, of what it predicts (`record`), of the PNG to write and of a title (and of the
stamp sets, `stamps`, and of the evaluation's `settings`, where the kind has `pictures`);
``COMPARISON_FIGURES``, functions of a `Compared` and the PNG; and ``VARIANT_FIGURES``, functions of
{method: predictions table}, the record and the PNG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.answers import registry
from galadapt.core.files import read_json
from galadapt.plots.learning import learning
from galadapt.plots.named import draw_named
from galadapt.plots.style import without_values


@dataclass(frozen=True)
class Compared:
    """What figures of all runs are drawn from."""

    record: Mapping[str, Any]  #: what the runs predict
    comparison: Path  #: tidy table of `galadapt.evaluation.compare`
    breakdown: Path  #: its table of parts of the test sets
    published: pd.DataFrame  #: figures of other works
    work: str  #: short name of the published work


def run_figures(
    run: Path,
    predictions: Path,
    history: Path,
    outputs: Sequence[Path],
    stamps: Mapping[str, Path] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Draw each of `outputs`, which its stem names, from a run's run.json and tables.

    `stamps` are the stamp sets of the domains, for kinds of answer whose figures show them;
    `settings` is the section ``evaluation`` as plain values, which holds for these figures too.

    Raises:
        ConfigError: an output has another name.
        DataError: an input is broken.
    """
    content = read_json(run)
    record = registry.record_of(content, run)
    title = " / ".join(str(content.get(key, "?")) for key in ("task", "variant", "method", "seed"))
    shown: dict[str, Any] = {"stamps": stamps, "settings": settings or {}} if stamps else {}
    drawers: dict[str, Callable[[Path], None]] = {
        name: partial(draw, predictions, record, title=title, **shown)
        for name, draw in registry.figures(record["kind"]).RUN_FIGURES.items()
    }
    # What they show is in the run's tables.
    with without_values():
        draw_named(outputs, {**drawers, "learning": partial(learning, history, title=title)})


def variant_figures(
    record: Mapping[str, Any], predictions: Mapping[str, Path], outputs: Sequence[Path]
) -> None:
    """Draw each of `outputs`, which its stem names; raises as `run_figures`.

    `record` is what the runs predict, `predictions` the table of each method of one variant, the
    unadapted one first.
    """
    drawers = registry.figures(record["kind"]).VARIANT_FIGURES
    draw_named(
        outputs, {name: partial(draw, predictions, record) for name, draw in drawers.items()}
    )


def comparison_figures(compared: Compared, outputs: Sequence[Path]) -> None:
    """Draw each of `outputs`, which its stem names; raises as `run_figures`."""
    drawers = registry.figures(compared.record["kind"]).COMPARISON_FIGURES
    draw_named(outputs, {name: partial(draw, compared) for name, draw in drawers.items()})
