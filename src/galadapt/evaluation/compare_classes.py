"""The comparison of all runs of a classification task: one tidy table, and forms of it to read.

Every readable form (Markdown, HTML, console) is drawn from the same tidy tables, so that they
cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.answers.classes.metrics import WITH_INTERVALS
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_table, write_csv, write_json, write_text
from galadapt.evaluation.class_view import ALL, Table, View
from galadapt.evaluation.runs import BOTH, EXPERIMENT, details_over_seeds, over_seeds, read_runs
from galadapt.evaluation.tables import markdown_table, render_html, text_table

COLUMNS = [*EXPERIMENT, "domain", "classes", "metric", "mean", "std", "n_seeds"]

#: What a row of the table of details is about.
PLACES = ["domain", "classes", "kind", "class"]

#: Figures of one test set, as `galadapt.evaluation.classes` writes them.
_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "loss",
    "brier",
    "n",
    "failed",
    "groups",
    *(f"{name}_{end}" for name in WITH_INTERVALS for end in ("low", "high")),
)
_VOTE = ("n", "mixed", "failed", "accuracy", "balanced_accuracy")

NOTE = (
    "Mean ± standard deviation over training seeds, on the test sets. Balanced accuracy: mean "
    "recall of the classes that occur. AUC: of the last of two classes, or the mean of each class "
    "against the rest. Vote: all stamps of a frame decide together. Seconds depend on the machine. "
    "Published figures were measured on other data and are for orientation."
)


def compare_classes(
    metrics: Sequence[Path],
    by_class: Sequence[Path],
    task: str,
    comparison: Path,
    detail: Path,
    markdown: Path,
    html: Path,
    plot: Path,
    metrics_folder: Path,
) -> None:
    """Write every form of the comparison of a classification task.

    Args:
        metrics: ``metrics.json`` of each run, in the order tables shall have.
        by_class: ``metrics_by_class.csv`` of the same runs in the same order.
        task: Name of the task; chooses the published figures.
        comparison: Tidy CSV with `COLUMNS`: test-split metrics (with ``vote_`` before those of
            groups), accuracies of the other splits (``accuracy_train``, ``accuracy_validation``),
            ``shared_groups``; mean, sample standard deviation over seeds (empty for one seed) and
            number of seeds with a value. `classes` names the classes judged, a network of finer
            ones has rows for the coarser too. Rows of the run as a whole (``seconds_per_epoch``,
            ``separability_auc``) have domain ``both`` and classes ``all``.
        detail: CSV of the figures per class: `EXPERIMENT`, `PLACES`, metric, mean, std, n_seeds.
        markdown: One table per variant, published figures below ours, verdicts, errors per class.
        html: The same as a fragment to inline, without style.
        plot: CSV with one row per method and test set: `run`, accuracy, balanced_accuracy, auc.
        metrics_folder: Folder of ``<variant>.<method>.json``, each {domain: {classes: {metric:
            mean}}}.

    Raises:
        DataError: no run, a run twice, a run of another task, or metrics of another shape.
    """
    runs = read_runs(metrics, by_class, ["domains", "separability", "seconds_per_epoch"])
    for run, path in zip(runs, metrics, strict=True):
        if run["task"] != task:
            raise DataError(f"{path}: is a run of task {run['task']}, not {task}; leave it out")
    tidy = over_seeds(pd.DataFrame([row for run in runs for row in _rows(run)]), COLUMNS[:6])
    details = details_over_seeds(runs, by_class, PLACES, text=["class"])
    view = View(tidy, details)
    write_csv(detail, details)
    write_text(markdown, _markdown(view))
    write_text(
        html,
        render_html(
            "comparison_classes.html",
            sections=view.sections,
            others=view.others,
            work=view.work,
            note=NOTE,
        ),
    )
    for name, values in _summary(tidy).items():
        write_json(metrics_folder / f"{name}.json", values)
    write_csv(plot, _plot(view))
    write_csv(comparison, tidy)


def console_table_classes(comparison: Path, detail: Path) -> str:
    """Render the comparison of a classification task as plain text for a terminal.

    Raises:
        DataError: a file is missing or is not the table its name promises.
    """
    tidy, details = read_table(comparison), read_table(detail)
    for path, table, wanted in ((comparison, tidy, COLUMNS), (detail, details, PLACES)):
        missing = [name for name in wanted if name not in table]
        if missing:
            raise DataError(f"{path}: lacks {', '.join(missing)}; rerun the stage 'compare'")
    details["class"] = details["class"].astype(str)
    lines = []
    for section in View(tidy, details).sections:
        lines.append(f"Test sets: {section.task}, variant {section.variant}")
        lines += text_table(section.figures.head, section.figures.body)
        lines += [f"  * {line}" for line in section.verdicts]
        lines += ["", "  Share of wrong answers per class"]
        lines += text_table(section.errors.head, section.errors.body)
        lines.append("")
    return "\n".join([*lines, NOTE])


# --- the tidy table ---------------------------------------------------------------------------


def _rows(run: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    identity = {key: run[key] for key in EXPERIMENT}
    for domain in (name for name in DOMAINS if name in run["domains"]):
        splits = run["domains"][domain]
        for found in (splits.get("test"), splits.get("test", {}).get("grouped")):
            if found is None:
                continue
            place = {**identity, "domain": domain, "classes": "/".join(found["class_names"])}
            values = {name: found[name] for name in _METRICS}
            vote = found["vote"] or {}
            values |= {f"vote_{name}": vote.get(name) for name in _VOTE}
            values["shared_groups"] = splits["test"]["shared_groups"]
            for split in ("train", "validation"):
                other = splits.get(split, {})
                other = other if found is splits["test"] else other.get("grouped", {})
                values[f"accuracy_{split}"] = other.get("accuracy")
            for name, value in values.items():
                yield {**place, "metric": name, "value": value}
    whole = {**identity, "domain": BOTH, "classes": ALL}
    yield {**whole, "metric": "seconds_per_epoch", "value": run["seconds_per_epoch"]}
    yield {**whole, "metric": "separability_auc", "value": run["separability"]["auc"]}


def _summary(tidy: pd.DataFrame) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    shown = tidy["metric"].isin(["accuracy", "balanced_accuracy", "auc", "loss"])
    for row in tidy[shown].to_dict("records"):
        place = nested.setdefault(f"{row['variant']}.{row['method']}", {})
        place = place.setdefault(row["domain"], {}).setdefault(row["classes"], {})
        place[row["metric"]] = round(row["mean"], 4)
    return nested


def _plot(view: View) -> pd.DataFrame:
    names = ["accuracy", "balanced_accuracy", "auc"]
    rows = [
        {
            "run": f"{place.variant}/{place.method}, {view.test_set(place)}",
            **{name: view.cell(place, name).mean for name in names},
        }
        for place in view.places
    ]
    return pd.DataFrame(rows, columns=["run", *names])


# --- readable forms ---------------------------------------------------------------------------


def _markdown(view: View) -> str:
    lines = ["# Comparison", "", NOTE, ""]
    for section in view.sections:
        lines += [f"## {section.task}, variant `{section.variant}`", ""]
        lines += [*markdown_table(section.figures.head, _marked(section.figures)), ""]
        if section.verdicts:
            lines += [*(f"- {line}" for line in section.verdicts), ""]
        lines += ["Share of wrong answers per class:", ""]
        lines += [*markdown_table(section.errors.head, _marked(section.errors)), ""]
        lines += ["With other test groups (bootstrap, 68 % interval):", ""]
        lines += [*markdown_table(section.intervals.head, section.intervals.body), ""]
    if view.others:
        lines += [f"## Other figures {view.work} published", ""]
        lines += [*(f"- {line}" for line in view.others), ""]
    return "\n".join(lines)


def _marked(table: Table) -> list[list[str]]:
    """Set published figures in italics."""
    return [
        [f"*{text}*" if line.published and text else text for text in line.cells]
        for line in table.lines
    ]
