"""The comparison of all runs: one tidy table, and readable forms of it.

`compare` turns the metrics of many runs into means and scatters over seeds. Every readable form
(Markdown, HTML, text) is drawn from the same tidy tables, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.answers import registry
from galadapt.answers.published import read_published
from galadapt.answers.view import WHOLE_RUN, Table, View
from galadapt.core.files import read_table, write_csv, write_json, write_text
from galadapt.evaluation.runs import EXPERIMENT, Metrics, over_seeds, read_runs
from galadapt.evaluation.tables import markdown_table, render_html, text_table

#: Columns of the tidy table before mean, std and n_seeds; those of the breakdown.
COLUMNS = [*EXPERIMENT, "domain", "item", "metric"]
PARTS = [*EXPERIMENT, "domain", "item", "by", "level", "metric"]


def compare(
    metrics: Sequence[Path],
    breakdowns: Sequence[Path],
    published: Path | None,
    work: str,
    comparison: Path,
    breakdown: Path,
    text: Path,
    markdown: Path,
    html: Path,
    metrics_folder: Path,
    plot: Path,
    simulations: Mapping[str, str] | None = None,
    adapted: Sequence[str] | None = None,
) -> None:
    """Write every form of the comparison.

    Args:
        metrics: ``metrics.json`` of each run, in the order tables shall have.
        breakdowns: ``breakdown.csv`` of the same runs in the same order.
        published: Table of `galadapt.answers.published`; None: there are none.
        work: Short name of the work that published them.
        comparison: Tidy CSV with `COLUMNS`: metrics of the test sets, mean, sample standard
            deviation over seeds (empty for one seed) and number of seeds with a value.
        breakdown: The same of parts of the test sets, with `PARTS`.
        text: Tables for a terminal.
        markdown: One table per variant, published figures below ours, verdicts, intervals.
        html: The same as a fragment to inline, without style.
        metrics_folder: Folder of ``<variant>.<method>.json``, each {domain: {item: {metric:
            mean}}} of the headline figures: one row of ``dvc metrics show`` per file.
        plot: CSV with one row per method and test set: `run` and the headline figures, for ``dvc
            plots``.
        simulations: {method: its simulation}, of those that are tested on another simulated set
            than the experiment's.
        adapted: Methods that adapt a network, of which tables state how much of the baseline's
            loss they recover; None: all.

    Raises:
        DataError: no run, a run twice, runs of several tasks, or metrics of another shape.
    """
    runs = read_runs(metrics, breakdowns)
    tidy = over_seeds(pd.DataFrame([row for run in runs for row in _rows(run)]), COLUMNS)
    parts = _parts(runs, breakdowns)
    judging = registry.judging(runs[0].kind)
    view = View(tidy, parts, judging, read_published(published), work, simulations, adapted)
    write_csv(breakdown, parts)
    write_text(text, _text(view, judging.NOTE))
    write_text(markdown, _markdown(view, judging.NOTE))
    write_text(
        html,
        render_html(
            "comparison.html",
            sections=view.sections,
            others=view.others,
            work=work,
            note=judging.NOTE,
        ),
    )
    for name, values in _summary(view).items():
        write_json(metrics_folder / f"{name}.json", values)
    write_csv(plot, _plot(view))
    write_csv(comparison, tidy)


# --- the tidy tables --------------------------------------------------------------------------


def _rows(run: Metrics) -> list[dict[str, Any]]:
    tested = [row for row in run.rows if row["split"] == "test"]
    # What belongs to the run as a whole comes last.
    tested.sort(key=lambda row: row["domain"] == WHOLE_RUN[0])
    return [{**run.identity, **row} for row in tested]


def _parts(runs: Sequence[Metrics], breakdowns: Sequence[Path]) -> pd.DataFrame:
    tables = []
    for run, path in zip(runs, breakdowns, strict=True):
        table = read_table(path, registry.BREAKDOWN)
        # Classes are names even where they look like numbers.
        tables.append(table.astype({"level": str}).assign(**run.identity))
    return over_seeds(pd.concat(tables, ignore_index=True), PARTS)


def _summary(view: View) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for place in view.places:
        of_method = nested.setdefault(f"{place.variant}.{place.method}", {})
        for column in view.columns:
            if column.headline:
                item = of_method.setdefault(place.domain, {}).setdefault(
                    column.item or place.item, {}
                )
                item[column.metric] = round(view.cell(place, column).mean, 4)
    return nested


def _plot(view: View) -> pd.DataFrame:
    headline = [column for column in view.columns if column.headline]
    return pd.DataFrame(
        [
            {
                "run": f"{place.variant}/{place.method}, {view.test_set(place)}",
                **{column.name: view.cell(place, column).mean for column in headline},
            }
            for place in view.places
        ]
    )


# --- readable forms ---------------------------------------------------------------------------


def _text(view: View, note: str) -> str:
    lines = []
    for section in view.sections:
        lines.append(f"Test sets: {section.task}, variant {section.variant}")
        lines += text_table(section.figures.head, [line.cells for line in section.figures.lines])
        lines += [f"  * {line}" for line in section.verdicts]
        for table in section.more:
            lines += ["", f"  {table.title}"]
            lines += text_table(table.head, [line.cells for line in table.lines])
        lines.append("")
    return "\n".join([*lines, note, ""])


def _markdown(view: View, note: str) -> str:
    lines = ["# Comparison", "", note, ""]
    for section in view.sections:
        lines += [f"## {section.task}, variant `{section.variant}`", ""]
        lines += [*markdown_table(section.figures.head, _marked(section.figures)), ""]
        if section.verdicts:
            lines += [*(f"- {line}" for line in section.verdicts), ""]
        for table in section.more:
            lines += [f"{table.title}:", ""]
            lines += [*markdown_table(table.head, _marked(table)), ""]
        lines += ["Bootstrap over test objects (68 % interval):", ""]
        lines += [*markdown_table(section.intervals.head, _marked(section.intervals)), ""]
    if view.others:
        lines += [f"## Other figures published by {view.work}", ""]
        lines += [*(f"- {line}" for line in view.others), ""]
    return "\n".join(lines)


def _marked(table: Table) -> list[list[str]]:
    """Set published figures in italics."""
    return [
        [f"*{text}*" if line.published and text else text for text in line.cells]
        for line in table.lines
    ]
