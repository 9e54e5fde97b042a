"""Figures of the coverage of a package's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from galadapt.answers.numbers.metrics import read_predictions
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table
from galadapt.core.quantity import QUANTITIES
from galadapt.plots.style import COLOURS, drawing, empty, legend_below
from galadapt.prediction.intervals import KINDS, WidestIntervals, coverage, labelled

#: Stated levels of the curve; `WidestIntervals` gives none beyond.
LEVELS = tuple(np.round(np.linspace(0.1, 0.95, 18), 2))

#: Level of the bars, and of those errors beyond which a galaxy is marked.
_BAR, _WIDE = 0.68, 0.95

_MARKED = "#000000"


class Galaxies(NamedTuple):
    """One domain's labelled test galaxies as the package's networks measure them together (n, p).

    Predictions are the mean over the networks, NaN where one of them failed.
    """

    true: np.ndarray
    predicted: np.ndarray
    spread: np.ndarray


def coverage_figures(
    package: Path, reference: Path, predictions: Sequence[Path], curve: Path, scatter: Path
) -> None:
    """Draw both figures of a package.

    Args:
        package, reference: Its package.json and reference.parquet.
        predictions: Predictions tables of its networks, one per seed.
        curve: PNG to write: the share of test galaxies inside their errors against the stated
            level, a panel per parameter, a colour per domain. Bands: binomial scatter of so
            many galaxies (one sigma).
        scatter: PNG to write: predicted against catalogue values of the survey's test galaxies
            with 68 % errors. Every finite prediction is inside the panel; galaxies whose truth
            lies beyond their 95 % error are marked.

    Raises:
        DataError: an input is missing or broken, or the tables hold different galaxies.
    """
    record = read_json(package)
    try:
        name, parameters = str(record["name"]), tuple(record["parameters"])
        domains = tuple(record["reference_domains"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{package}: lacks {error}; rerun the stage 'package'") from None
    columns = [f"{name}_{kind}" for name in parameters for kind in KINDS]
    table = read_table(reference, ["domain", *columns])
    for domain in domains:
        count = len(labelled(table, domain, parameters))
        if count < 2:
            raise DataError(
                f"{reference}: {count} {domain} galaxies are too few to take errors from; rerun "
                "the stage 'package'"
            )
    intervals = WidestIntervals(table, domains, parameters)
    tests = _tests(predictions, parameters)
    title = f"{name}: errors from {' and '.join(domains)} validation galaxies"
    _curve(intervals, tests, title, curve)
    _scatter(intervals, tests["survey"], f"{name}: survey test galaxies, 68 % errors", scatter)


def _tests(paths: Sequence[Path], parameters: Sequence[str]) -> dict[str, Galaxies]:
    if not paths:
        raise DataError("no predictions to draw; name the predictions of the package's networks")
    tables = []
    for path in paths:
        table = read_predictions(path)
        tables.append(table[table["split"] == "test"])
    found = {}
    for domain in DOMAINS:
        each = [labelled(table, domain, parameters) for table in tables]
        for path, table in zip(paths, each, strict=True):
            if not np.array_equal(table["id"], each[0]["id"]):
                raise DataError(
                    f"{path}: other test galaxies than in {paths[0]}; rerun the predictions of both"
                )
        true = each[0][[f"{name}_true" for name in parameters]].to_numpy(np.float64)
        predicted = [f"{name}_predicted" for name in parameters]
        stacked = np.stack([table[predicted].to_numpy(np.float64) for table in each])
        found[domain] = Galaxies(true, stacked.mean(axis=0), stacked.std(axis=0))
    return found


def shares(
    intervals: WidestIntervals, tests: Galaxies, levels: Sequence[float] = LEVELS
) -> np.ndarray:
    """Share of truths inside the errors of each level, shape (levels, p); NaN without galaxies."""
    errors = (intervals.errors(tests.predicted, tests.spread, level) for level in levels)
    return np.array([coverage(one, tests.predicted, tests.true) for one in errors])


def _curve(
    intervals: WidestIntervals, tests: Mapping[str, Galaxies], title: str, output: Path
) -> None:
    levels = np.array(LEVELS)
    inside = {domain: shares(intervals, rows) for domain, rows in tests.items()}
    with drawing(output, 1, len(intervals.parameters), (2.7, 2.9), title) as (figure, axes):
        for column, (panel, name) in enumerate(zip(axes[0], intervals.parameters, strict=True)):
            panel.plot([0, 1], [0, 1], color="black", lw=1, ls="--")
            for domain, rows in tests.items():
                count, colour = len(rows.true), COLOURS[domain]
                if count == 0:
                    continue
                chance = np.sqrt(levels * (1 - levels) / count)
                band = levels - chance, levels + chance
                panel.fill_between(levels, *band, color=colour, alpha=0.15, lw=0)
                line: dict[str, Any] = {"color": colour, "marker": "o", "ms": 3, "lw": 1.4}
                label = f"{domain} ({count} galaxies)"
                panel.plot(levels, inside[domain][:, column], label=label, **line)
            panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="nominal level")
            panel.set_title(QUANTITIES[name].label)
        axes[0, 0].set_ylabel("coverage")
        legend_below(figure, axes[0, 0], 2)


def _scatter(intervals: WidestIntervals, tests: Galaxies, title: str, output: Path) -> None:
    bars, wide = (intervals.errors(tests.predicted, tests.spread, level) for level in (_BAR, _WIDE))
    with drawing(output, 1, len(intervals.parameters), (3.0, 3.1), title) as (_, axes):
        for column, (panel, name) in enumerate(zip(axes[0], intervals.parameters, strict=True)):
            true, predicted = tests.true[:, column], tests.predicted[:, column]
            heading = QUANTITIES[name].label
            panel.set_title(heading)
            if len(true) == 0:
                empty(panel, "no labelled galaxy")
                continue
            good = np.isfinite(bars[:, column])
            beyond = good & (np.abs(predicted - true) > wide[:, column])
            look: dict[str, Any] = {"fmt": "o", "ms": 2.6, "lw": 0.6, "alpha": 0.7}
            for rows, colour in ((good & ~beyond, COLOURS["survey"]), (beyond, _MARKED)):
                bar = bars[rows, column]
                panel.errorbar(true[rows], predicted[rows], yerr=bar, color=colour, **look)
            shown = np.concatenate([true, predicted[good]])
            air = 0.06 * max(float(np.ptp(shown)), 1e-6)
            low, high = float(shown.min()) - air, float(shown.max()) + air
            panel.plot([low, high], [low, high], color="black", lw=1, ls="--", zorder=3)
            panel.set(xlim=(low, high), ylim=(low, high), aspect="equal")
            panel.set_xlabel(f"catalogue {QUANTITIES[name].axis}")
            failed = int((~good).sum())
            # Beside the panel, not in it: text would hide an outlier.
            counts = f"{len(true)} galaxies, {beyond.sum()} beyond 95 %"
            counts += f", {failed} failed" if failed else ""
            panel.set_title(f"{heading}\n{counts}", fontsize=8.5)
        axes[0, 0].set_ylabel("predicted")
