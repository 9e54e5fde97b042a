"""The comparison of all runs: one tidy table, and forms of it to read.

`compare` turns the metrics of many runs into means and scatters over seeds. Every readable form
(Markdown, HTML, console) is drawn from the same tidy table, so that they cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.core.errors import DataError
from galadapt.core.files import read_table, write_csv, write_json, write_text
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.published import published
from galadapt.evaluation.runs import BOTH, EXPERIMENT, details_over_seeds, over_seeds, read_runs
from galadapt.evaluation.tables import markdown_table, render_html, text_table
from galadapt.evaluation.verdicts import Cell, best, number

COLUMNS = [*EXPERIMENT, "domain", "parameter", "metric", "mean", "std", "n_seeds"]

#: Metrics of one domain and parameter, as `galadapt.evaluation.evaluate` writes them.
METRICS = (
    "r2",
    "r2_low",
    "r2_high",
    "bias",
    "scatter",
    "outlier_fraction",
    "completeness",
    "n",
    "failed",
)

#: `domain` and `parameter` of rows that belong to the run as a whole.
WHOLE_RUN = (BOTH, "embedding")

#: Below this many test galaxies, the choice of galaxies moves R2 visibly.
SMALL_TEST_SET = 500

NOTE = (
    "Mean ± standard deviation over training seeds. AUC: how well a fresh linear classifier "
    "tells simulated from survey galaxies by the network's features (0.5: not at all). R1's "
    "figures were measured on R1's own galaxies and are for orientation."
)


def compare(
    metrics: Sequence[Path],
    bins: Sequence[Path],
    comparison: Path,
    by_magnitude: Path,
    markdown: Path,
    html: Path,
    metrics_folder: Path,
    plot: Path,
) -> None:
    """Write every form of the comparison.

    Args:
        metrics: ``metrics.json`` of each run, in the order tables shall have.
        bins: ``metrics_by_magnitude.csv`` of the same runs in the same order.
        comparison: Tidy CSV with `COLUMNS`: test-split metrics, mean, sample standard deviation
            over seeds (empty for one seed) and the number of seeds with a finite value. The
            domains' separability has domain ``both``, parameter ``embedding``, metric
            ``separability_auc``.
        by_magnitude: The same per bin, with ``magnitude_low`` and ``magnitude_high``.
        markdown: One table per variant, R1's figures below ours, verdicts.
        html: The same as a fragment to inline, without style.
        metrics_folder: Folder of ``<variant>.<method>.json``, each {domain: {parameter: R2}}:
            one row of ``dvc metrics show`` per file.
        plot: CSV with one row per variant and method: `run` and the survey's R2 of each
            parameter, for ``dvc plots``.

    Raises:
        DataError: no run, a run twice, or metrics of another shape.
    """
    runs = read_runs(metrics, bins, ["domains", "separability"])
    tidy = over_seeds(pd.DataFrame([row for run in runs for row in _rows(run)]), COLUMNS[:6])
    sections = _sections(tidy)
    places = ["domain", "parameter", "magnitude_low", "magnitude_high"]
    write_csv(by_magnitude, details_over_seeds(runs, bins, places))
    write_text(markdown, _markdown(sections))
    write_text(html, _html(sections))
    for name, values in _summary(tidy).items():
        write_json(metrics_folder / f"{name}.json", values)
    write_csv(plot, _plot(tidy))
    write_csv(comparison, tidy)


def console_table(comparison: Path) -> str:
    """Render a comparison CSV as plain text for a terminal.

    Raises:
        DataError: the file is missing or is not a comparison table.
    """
    tidy = read_table(comparison)
    if list(tidy.columns) != COLUMNS:
        raise DataError(
            f"{comparison}: columns are not {', '.join(COLUMNS)}; rerun the stage 'compare'"
        )
    lines = []
    for section in _sections(tidy):
        lines.append(f"R2 on the test sets: {section.task}, variant {section.variant}")
        head = ["method", "test set", *PARAMETERS, "galaxies", "AUC"]
        body = [
            line
            for row in section.rows
            for line in (
                [row.method if row.first else "", row.domain, *row.texts, row.n, row.auc],
                ["", "  R1 published", *row.published, "", ""] if row.published else None,
            )
            if line
        ]
        lines += text_table(head, body)
        lines += [f"  * {line}" for line in section.verdicts]
        lines.append("")
    return "\n".join([*lines, NOTE])


# --- the tidy table ---------------------------------------------------------------------------


def _rows(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    identity = {key: run[key] for key in EXPERIMENT}
    for domain in ("simulated", "survey"):
        found = run["domains"].get(domain, {}).get("test", {})
        for parameter in PARAMETERS if found else ():
            for metric in METRICS:
                yield {
                    **identity,
                    "domain": domain,
                    "parameter": parameter,
                    "metric": metric,
                    "value": found[parameter][metric],
                }
    domain, parameter = WHOLE_RUN
    yield {
        **identity,
        "domain": domain,
        "parameter": parameter,
        "metric": "separability_auc",
        "value": run["separability"]["auc"],
    }


def _summary(tidy: pd.DataFrame) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for row in tidy[tidy["metric"] == "r2"].to_dict("records"):
        place = nested.setdefault(f"{row['variant']}.{row['method']}", {})
        place.setdefault(row["domain"], {})[row["parameter"]] = round(row["mean"], 4)
    return nested


def _plot(tidy: pd.DataFrame) -> pd.DataFrame:
    r2 = tidy[(tidy["metric"] == "r2") & (tidy["domain"] == "survey")]
    rows: dict[str, dict[str, Any]] = {}
    for row in r2.to_dict("records"):
        run = f"{row['variant']}/{row['method']}"
        rows.setdefault(run, {"run": run})[row["parameter"]] = row["mean"]
    return pd.DataFrame(list(rows.values()), columns=["run", *PARAMETERS])


# --- what every readable form shows -----------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One method on one test set."""

    method: str
    domain: str
    first: bool
    cells: list[Cell]
    n: str
    auc: str
    published: list[str]

    @property
    def texts(self) -> list[str]:
        """The four R2 as text."""
        return [cell.text for cell in self.cells]


@dataclass(frozen=True)
class Section:
    """One task and variant."""

    task: str
    variant: str
    rows: list[Row]
    verdicts: list[str] = field(default_factory=list)
    intervals: list[dict[str, Any]] = field(default_factory=list)
    small: bool = False


def _sections(tidy: pd.DataFrame) -> list[Section]:
    printed = published()
    sections = []
    for (task, variant), part in tidy.groupby(["task", "variant"], sort=False):
        values = {
            (r["method"], r["domain"], r["parameter"], r["metric"]): (r["mean"], r["std"])
            for r in part.to_dict("records")
        }
        rows: list[Row] = []
        for method in part["method"].unique():
            domains = part.loc[part["method"] == method, "domain"].unique()
            for domain in (name for name in ("simulated", "survey") if name in domains):
                cells = [_cell(values, method, domain, name) for name in PARAMETERS]
                first = not rows or rows[-1].method != method
                known = printed.get((method, domain))
                rows.append(
                    Row(
                        method,
                        domain,
                        first,
                        cells,
                        f"{values[method, domain, PARAMETERS[0], 'n'][0]:.0f}",
                        # It belongs to both test sets, so it stands once.
                        number(values[(method, *WHOLE_RUN, "separability_auc")][0])
                        if first
                        else "",
                        [number(known[name]) for name in PARAMETERS] if known else [],
                    )
                )
        intervals = [
            {
                "method": row.method,
                "domain": row.domain,
                "n": row.n,
                "cells": [cell.interval for cell in row.cells],
            }
            for row in rows
        ]
        sections.append(
            Section(
                str(task),
                str(variant),
                rows,
                list(_verdicts(rows)),
                intervals,
                any(float(row.n) < SMALL_TEST_SET for row in rows),
            )
        )
    return sections


def _cell(values: dict[Any, tuple[float, float]], method: str, domain: str, name: str) -> Cell:
    mean, std = values[method, domain, name, "r2"]
    low = values[method, domain, name, "r2_low"][0]
    high = values[method, domain, name, "r2_high"][0]
    return Cell(mean, std, low, high)


def _verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Say what the table shows, and only what its error bars carry."""
    by_place = {(row.method, row.domain): row for row in rows}
    home, away = by_place.get(("baseline", "simulated")), by_place.get(("baseline", "survey"))
    if home and away:
        yield from _loss_and_recovery(home, away, rows)
    survey = [row for row in rows if row.domain == "survey"]
    if len(survey) < 2:
        return
    for k, name in enumerate(PARAMETERS):
        yield best(f"Survey, {name}", "R2", [(row.method, row.cells[k]) for row in survey])


def _loss_and_recovery(home: Row, away: Row, rows: Sequence[Row]) -> Iterator[str]:
    """Say what the baseline loses on the survey, and how much of it each method wins back."""
    pairs = list(zip(PARAMETERS, home.cells, away.cells, strict=True))
    falls = [f"{name} {number(a.mean)} to {number(b.mean)}" for name, a, b in pairs]
    yield f"R2 of the baseline from simulated to survey: {', '.join(falls)}."
    # A share of a loss that the error bars do not establish would be noise over noise.
    lost = [
        k for k, (_, a, b) in enumerate(pairs) if a.mean - b.mean > math.hypot(a.error, b.error)
    ]
    if not lost:
        yield "This loss is within the error bars: there is nothing to recover."
        return
    for row in rows:
        if row.domain == "survey" and row.method != "baseline":
            shares = [
                f"{PARAMETERS[k]} {_share(_recovered(home, away, row, k))}"
                for k in lost
                if not math.isnan(row.cells[k].mean)
            ]
            if shares:
                yield f"Share of that loss recovered by {row.method}: {', '.join(shares)}."


def _recovered(home: Row, away: Row, row: Row, k: int) -> float:
    return (row.cells[k].mean - away.cells[k].mean) / (home.cells[k].mean - away.cells[k].mean)


def _share(recovered: float) -> str:
    return f"{100 * recovered:.0f} %" if recovered >= 0 else "none (it lost more)"


# --- readable forms ---------------------------------------------------------------------------


def _markdown(sections: Sequence[Section]) -> str:
    lines = ["# Comparison", "", NOTE, ""]
    for section in sections:
        lines += [f"## {section.task}, variant `{section.variant}`", ""]
        body: list[list[str]] = []
        for row in section.rows:
            name = row.method if row.first else ""
            body.append([name, row.domain, *row.texts, row.n, row.auc])
            if row.published:
                body.append(["", "*R1 published*", *(f"*{x}*" for x in row.published), "", ""])
        head = ["method", "test set", *(f"R² {name}" for name in PARAMETERS), "galaxies", "AUC"]
        lines += [*markdown_table(head, body), "", *(f"- {line}" for line in section.verdicts), ""]
        lines += ["R² with other test galaxies (bootstrap, 68 % interval):", ""]
        body = [[r["method"], r["domain"], r["n"], *r["cells"]] for r in section.intervals]
        head = ["method", "test set", "galaxies", *(f"R² {name}" for name in PARAMETERS)]
        lines += [*markdown_table(head, body), ""]
    return "\n".join(lines)


def _html(sections: Sequence[Section]) -> str:
    return render_html("comparison.html", sections=sections, parameters=PARAMETERS, note=NOTE)
