"""Figures of predicted votes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.figures import Compared
from galadapt.answers.votes import judging
from galadapt.answers.votes.metrics import LEVELS, Predicted
from galadapt.answers.votes.settings import VoteEvaluation
from galadapt.answers.votes.tree import Tree
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_table
from galadapt.plots.style import COLOURS, drawing, empty, legend_below, mark
from galadapt.stamps.format import StampSet

#: Galaxies of a sheet.
_SHOWN = 8

#: Answers written beside a galaxy.
_ANSWERS = 5


class _Tests:
    """Calibrated predictions of the test sets of a run, by domain, and the ids of their rows."""

    def __init__(
        self,
        predictions: Path,
        record: Mapping[str, Any],
        stamps: Mapping[str, Path],
        settings: VoteEvaluation,
    ) -> None:
        self.stamps, self.settings = stamps, settings
        tree = Tree.from_list(record["tree"])
        table = judging.read(predictions, record)
        factors = judging.calibration(table, record, settings)
        table = table[(table["split"] == "test") & judging.usable(table, tree)]
        self.found: dict[str, Predicted] = {}
        self.ids: dict[str, np.ndarray] = {}
        for domain in DOMAINS:
            rows = table[table["domain"] == domain]
            if len(rows):
                self.found[domain] = judging.predicted(rows, record, factors[domain])
                self.ids[domain] = rows["id"].to_numpy()
        if not self.found:
            raise DataError(f"{predictions}: holds no test row with votes; rerun the prediction")


def reliability(tests: _Tests, output: Path, title: str) -> None:
    """Draw given against predicted conditional shares, of every question and of all together."""
    found = tests.found
    bins = tests.settings.bins
    tree = next(iter(found.values())).tree
    names = ["all questions", *(question.name for question in tree.questions)]
    parts = [slice(None), *tree.parts]
    across = 4
    with drawing(output, -(-len(names) // across), across, (2.3, 2.3), title) as (figure, axes):
        for panel in axes.flat[len(names) :]:
            panel.remove()
        for panel, name, part in zip(axes.flat, names, parts, strict=False):
            panel.plot([0, 1], [0, 1], color="black", lw=0.8, ls="--")
            for domain, one in found.items():
                predicted, given, weight = one.reliability(bins, part).T
                # Few votes scatter: the size of a mark is their share.
                size = 4 + 50 * np.sqrt(weight / max(weight.max(), 1))
                panel.plot(predicted, given, lw=1, color=COLOURS[domain])
                panel.scatter(predicted, given, s=size, color=COLOURS[domain], label=domain)
            panel.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", title=name)
        for panel in axes[:, 0]:
            panel.set_ylabel("share of the votes")
        for panel in axes[-1]:
            panel.set_xlabel("predicted")
        legend_below(figure, axes[0, 0], 2)


def sparsification(tests: _Tests, output: Path, title: str) -> None:
    """Draw the RMSE of what is left when the least certain galaxies are left out."""
    found = tests.found
    with drawing(output, 1, len(found), (3.6, 3.0), title) as (_, axes):
        for panel, (domain, one) in zip(axes[0], found.items(), strict=True):
            left_out, predicted, true = one.sparsification().T
            panel.plot(left_out, predicted, color=COLOURS[domain], label="by predicted error")
            panel.plot(left_out, true, color="black", ls="--", lw=1, label="by true error")
            panel.set(
                title=f"{domain}: AUSE {one.ause():.3f}",
                xlabel="share left out",
                ylabel="RMSE of the others",
            )
            panel.set_ylim(bottom=0)
            panel.legend()


def galaxies(tests: _Tests, output: Path, title: str) -> None:
    """Show test galaxies with the shares predicted and given, the first of each domain."""
    rows = {domain: np.arange(min(_SHOWN, len(ids))) for domain, ids in tests.ids.items()}
    _sheet(tests, {domain: {"": chosen} for domain, chosen in rows.items()}, output, title)


def certain(tests: _Tests, output: Path, title: str) -> None:
    """Show the galaxies whose votes are predicted with the smallest and the largest error."""
    rows = {}
    for domain, one in tests.found.items():
        order = np.argsort(one.variances[0].mean(axis=1), kind="stable")
        rows[domain] = {"most certain": order[:_SHOWN], "least certain": order[::-1][:_SHOWN]}
    _sheet(tests, rows, output, title)


def _sheet(
    tests: _Tests,
    rows: Mapping[str, Mapping[str, np.ndarray]],
    output: Path,
    title: str,
) -> None:
    lines = [(domain, label, chosen) for domain in rows for label, chosen in rows[domain].items()]
    with drawing(output, 2 * len(lines), _SHOWN, (1.75, 1.6), title) as (_, axes):
        for line, (domain, label, chosen) in enumerate(lines):
            one = tests.found[domain]
            with StampSet(tests.stamps[domain]) as opened:
                place = pd.Series(np.arange(len(opened)), opened.table["id"].to_numpy())
                images = opened.inputs(place.loc[tests.ids[domain][chosen]].to_numpy())
            low, high = images.min(initial=np.inf), images.max(initial=-np.inf)
            for column in range(_SHOWN):
                picture, text = axes[2 * line, column], axes[2 * line + 1, column]
                for panel in (picture, text):
                    panel.axis("off")
                if column >= len(chosen):
                    continue
                shown = np.clip((images[column] - low) / max(high - low, 1e-9), 0, 1)
                picture.imshow(shown if shown.shape[-1] == 3 else shown[..., 0], cmap="gray")
                if column == 0:
                    picture.set_title(f"{domain} {label}", loc="left")
                text.text(0, 1, _words(one, int(chosen[column])), va="top", fontsize=5.6)


def _words(one: Predicted, row: int) -> str:
    """List the answers of the largest shares: given, predicted and its error."""
    given, shares = one.given[row], one.shares[row]
    errors = np.sqrt(np.add(*one.variances)[row])
    order = np.argsort(-np.maximum(given, shares), kind="stable")[:_ANSWERS]
    lines = ["votes  predicted"]
    for k in order:
        name = one.tree.names[k].replace("_", ": ")
        lines.append(f" {given[k]:.2f}  {shares[k]:.2f} ± {errors[k]:.2f}\n   {name[:32]}")
    return "\n".join(lines)


# --- all runs ---------------------------------------------------------------------------------

#: Figures that the comparison shows, one panel each.
_QUALITY = {
    "rmse": "RMSE",
    "nll": "NLL per question",
    "ece": "ECE",
    "coverage68": "68 % coverage",
    "coverage90": "90 % coverage",
}


def quality(compared: Compared, output: Path) -> None:
    """Draw errors and calibration of every method, with their seed scatter."""
    wanted = ("variant", "method", "domain", "metric", "mean", "std")
    table = read_table(compared.comparison, wanted)
    entries = list(dict.fromkeys(zip(table["variant"], table["method"], strict=True)))
    size = (2.5, 1.2 + 0.28 * len(entries))
    title = "Test sets: mean and scatter over seeds"
    with drawing(output, 1, len(_QUALITY), size, title) as (figure, axes):
        for panel, (metric, label) in zip(axes[0], _QUALITY.items(), strict=True):
            rows = table[(table["metric"] == metric) & np.isfinite(table["mean"])]
            if rows.empty:
                empty(panel, "none")
            for row in rows.to_dict("records"):
                place = entries.index((row["variant"], row["method"]))
                shift = 0.22 * (DOMAINS.index(row["domain"]) - 0.5)
                mark(panel, row["mean"], row["std"], place + shift, COLOURS[row["domain"]])
            if metric in LEVELS:
                panel.axvline(LEVELS[metric], color="black", lw=0.8, ls="--")
            panel.set(title=label, ylim=(len(entries) - 0.5, -0.5))
            panel.set_yticks(range(len(entries)), [])
        axes[0, 0].set_yticks(range(len(entries)), [f"{v}: {m}" for v, m in entries])
        for domain in DOMAINS:
            if (table["domain"] == domain).any():
                axes[0, 0].scatter([], [], color=COLOURS[domain], label=domain)
        legend_below(figure, axes[0, 0], 2)


def questions(compared: Compared, output: Path) -> None:
    """Draw the RMSE of each question and method, one panel per domain."""
    wanted = ("variant", "method", "domain", "by", "level", "metric", "mean")
    table = read_table(compared.breakdown, wanted)
    table = table[(table["by"] == "question") & (table["metric"] == "rmse")]
    if table.empty:
        raise DataError(f"{compared.breakdown}: holds no RMSE of a question; rerun the comparison")
    domains = [domain for domain in DOMAINS if (table["domain"] == domain).any()]
    names = list(dict.fromkeys(table["level"]))
    entries = list(dict.fromkeys(zip(table["variant"], table["method"], strict=True)))
    colours = [f"C{k}" for k in range(10)]
    with drawing(output, 1, len(domains), (5.2, 0.9 + 0.3 * len(names))) as (figure, axes):
        for panel, domain in zip(axes[0], domains, strict=True):
            for number, (variant, method) in enumerate(entries):
                of_method = (table["variant"] == variant) & (table["method"] == method)
                rows = table[of_method & (table["domain"] == domain)]
                places = [names.index(level) for level in rows["level"]]
                look = {"ms": 4.5, "color": colours[number % len(colours)]}
                shape = "os^vDP"[number // len(colours) % 6]
                panel.plot(rows["mean"], places, shape, label=f"{variant}: {method}", **look)
            panel.set(title=f"{domain}: RMSE", ylim=(len(names) - 0.5, -0.5))
            panel.set_xlim(left=0)
            panel.set_yticks(range(len(names)), names if panel is axes[0, 0] else [])
        legend_below(figure, axes[0, 0], 3)


def _of_run(draw: Callable[[_Tests, Path, str], None]) -> Callable[..., None]:
    """Give a figure of test sets the arguments that `galadapt.answers.figures` passes."""

    def figure(
        predictions: Path,
        record: Mapping[str, Any],
        output: Path,
        title: str = "",
        stamps: Mapping[str, Path] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        evaluation = VoteEvaluation.model_validate(settings or {})
        draw(_Tests(predictions, record, stamps or {}, evaluation), output, title)

    return figure


RUN_FIGURES = {
    draw.__name__: _of_run(draw) for draw in (galaxies, certain, reliability, sparsification)
}
COMPARISON_FIGURES = {"quality": quality, "questions": questions}
