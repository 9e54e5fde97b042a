"""`galadapt fit-check`: does a network agree with a profile fit, on the user's own images?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.numbers.metrics import error_metrics
from galadapt.core.errors import DataError
from galadapt.core.files import write_csv
from galadapt.core.log import log
from galadapt.core.quantity import QUANTITIES
from galadapt.core.random import generator
from galadapt.plots.style import axis_range, drawing, empty, without_values
from galadapt.prediction.any_image import runner_of
from galadapt.prediction.arguments import Inputs, check_arguments
from galadapt.prediction.catalogue import unwritable
from galadapt.prediction.inputs import prepare
from galadapt.prediction.psf_check import disagreeing
from galadapt.prediction.recalibration import measured, write_recalibration
from galadapt.tasks.galaxies.fitting.sersic import fit_stamps

#: Purpose of the random numbers that choose the sample.
_SAMPLE = 0x0F17

#: Coverage of the networks' errors that fits are compared with.
_LEVEL = 0.68

#: Magnitude bins of the report, each with as many objects.
_BINS = 4

#: Fewest fits for a verdict, and for a firm one: shares inside the errors are then known to 7 %.
_ENOUGH, _FIRM = 8, 50

#: Median difference that is too large, in expected errors, where chance allows less.
_BIASED = 1.5


def fit_check(
    model: Path,
    inputs: Inputs,
    output: Path,
    sample: int = 100,
    seed: int = 0,
    plot: Path | None = None,
    recalibrate: Path | None = None,
) -> pd.DataFrame:
    """Fit a Sérsic profile to a random sample and compare with the network.

    The noise of a fit is the weight map's; neighbours are masked by segmentation. Fits that fail
    are counted, never fatal. Differences are predicted minus fitted, in the convention of
    `galadapt.answers.numbers.metrics`.

    Args:
        model: Folder of a prediction package.
        inputs: What to measure; without a PSF the training's is used.
        output: CSV to write, one row per magnitude bin (of equal numbers) and parameter, the first
            for all: magnitude_low, magnitude_high, parameter, unit, sampled, measured, fitted,
            failed, median_difference, nmad, outliers (share), expected_error (median `_err`),
            within_error (share) and its binomial uncertainty within_error_err. Beside it
            ``<name>_objects.csv``, one row per object.
        sample: Objects to compare.
        plot: PNG of predicted against fitted values.
        recalibrate: JSON to write: factors by which `galadapt predict --recalibration` enlarges
            the errors (`galadapt.prediction.recalibration`).

    Returns:
        The table; its ``attrs["verdict"]`` is what it means, in a sentence.

    Raises:
        ConfigError: contradicting inputs.
        DataError: an input is missing or broken, or none of the sample gives a stamp.
    """
    problems = []
    if sample < 1:
        problems.append(f"--sample: must be at least 1, not {sample}; correct it")
    objects = output.with_name(f"{output.stem}_objects.csv")
    outputs = [objects]
    for path, suffix, what in (
        (output, ".csv", "report"),
        (plot, ".png", "plot"),
        (recalibrate, ".json", "recalibration"),
    ):
        if path is not None:
            problems += unwritable(path, (suffix,), what)
            outputs.append(path)
    check_arguments(inputs, outputs, problems)
    prepared = prepare(model, inputs)
    doubts = list(disagreeing(prepared).values())
    package, record = prepared.package, prepared.package.record
    rows = np.sort(generator(seed, _SAMPLE).permutation(len(prepared.objects))[:sample])
    stamps = prepared.stamps(rows)
    if not stamps:
        raise DataError(
            f"none of {len(rows)} sampled objects gives a stamp; `galadapt predict` on the same "
            "input gives the reasons"
        )
    kept = sorted(stamps)
    result = runner_of(package).measure([stamps[row] for row in kept])
    widths = package.intervals.errors(result.predicted, result.spread, _LEVEL)
    table = pd.DataFrame({"id": prepared.objects["id"].iloc[kept].to_numpy()})
    for column, name in enumerate(record.parameters):
        table[name] = result.predicted[:, column]
        table[f"{name}_err"] = widths[:, column]
    found = fit_stamps(
        *(prepared.profile(), record.pixel_scale, record.zero_point),
        np.array([stamps[row].pixels for row in kept], float),
        np.array([stamps[row].local_rms for row in kept], float),
        np.array([(stamps[row].x_offset, stamps[row].y_offset) for row in kept], float),
        record.extraction,
    )
    for name in (*record.parameters, "position_angle", "chi2"):
        table[f"{name}_fitted"] = found.get(name, np.nan)
    table["failure"] = found["failure"]
    report = compare(table, record.parameters, len(rows))
    write_csv(objects, table)
    write_csv(output, report)
    failed = int((table["failure"] != "").sum())
    log.info(f"{output}: {len(rows)} objects, {len(kept)} with a stamp, {failed} fits failed")
    for reason, count in table.loc[table["failure"] != "", "failure"].value_counts().items():
        log.info(f"{output}: {count} fits failed: {reason}")
    text = report.to_string(index=False, na_rep="-", float_format="{:.3f}".format)
    for line in text.splitlines():
        log.info(line)
    if plot is not None:
        _draw(table, record.parameters, plot)
    if recalibrate is not None:
        write_recalibration(recalibrate, measured(table, record, _LEVEL))
        log.info(f"{recalibrate}: give it to `galadapt predict` as --recalibration")
    report.attrs["verdict"] = verdict(report, record.parameters)
    if doubts:
        # Networks and fits share the PSF: with a wrong one they may agree, and both are wrong.
        report.attrs["verdict"] = f"Verdict: none with this PSF. {doubts[0]}."
    log.info(report.attrs["verdict"])
    return report


def verdict(report: pd.DataFrame, parameters: Sequence[str]) -> str:
    """What a comparison means, in words: which parameter not to use below which magnitude.

    A parameter is in doubt in a bin of magnitude if fewer fits lie within its errors than `_LEVEL`
    by three times what chance allows, or if its median differs by more than 1.5 expected errors
    and three times what chance allows. Below `_FIRM` fits the verdict is called tentative. How many
    fits lie within the errors follows, with the binomial uncertainty.
    """
    fitted = int(report["fitted"].iloc[0])
    if fitted < _ENOUGH:
        return (
            f"Verdict: {fitted} fits are too few to decide whether the networks can be used here; "
            "raise --sample."
        )
    whole = report["magnitude_low"].isna()
    doubts = []
    for name in parameters:
        rows = report[(report["parameter"] == name) & ~whole]
        bad = np.array([_in_doubt(row) for row in rows.to_dict("records")])
        if bad.any():
            doubts.append(f"{QUANTITIES[name].label} {_where(rows, bad)}")
    shares = ", ".join(
        f"{QUANTITIES[str(row['parameter'])].label} {100 * row['within_error']:.0f} "
        f"± {100 * row['within_error_err']:.0f} %"
        for row in report[whole].to_dict("records")
    )
    if fitted < _FIRM:
        start = f"Tentative verdict from {fitted} fits (a firm one needs {_FIRM}; raise --sample)"
        agree = "no disagreement of networks and fits was found, but a small one would not be seen."
        differ = "perhaps {} cannot be used here"
    else:
        start = f"Verdict from {fitted} fits"
        agree = (
            "networks and fits agree within the errors, in every parameter and at every magnitude "
            "that was compared."
        )
        differ = "do not use {} here"
    differ += ", unless the errors are enlarged (--recalibrate)."
    found = differ.format("; ".join(doubts)) if doubts else agree
    counted = f"Within the errors lie, of {100 * _LEVEL:.0f} % expected: {shares} (± binomial)."
    return f"{start}: {found} {counted}"


def _where(rows: pd.DataFrame, bad: np.ndarray) -> str:
    """At which magnitudes the bins of one parameter are in doubt, in words."""
    low, high = (rows.loc[bad, f"magnitude_{end}"] for end in ("low", "high"))
    if bad.all():
        return "at any magnitude"
    if (np.diff(bad.astype(int)) >= 0).all():
        return f"below {low.iloc[0]:.1f} mag"
    if (np.diff(bad.astype(int)) <= 0).all():
        return f"above {high.iloc[-1]:.1f} mag"
    spans = ", ".join(f"{begin:.1f} to {end:.1f}" for begin, end in zip(low, high, strict=True))
    return f"at {spans} mag"


def _in_doubt(row: Mapping[Any, Any]) -> bool:
    count = max(int(row["fitted"]), 1)
    chance = np.sqrt(_LEVEL * (1 - _LEVEL) / count)
    # The median of n normal errors scatters by 1.25 of them over the root of n.
    apart = abs(row["median_difference"]) > max(_BIASED, 3 * 1.25 / np.sqrt(count)) * max(
        row["expected_error"], 1e-9
    )
    return bool(row["within_error"] < _LEVEL - 3 * chance or apart)


def compare(table: pd.DataFrame, parameters: Sequence[str], sampled: int) -> pd.DataFrame:
    """Judge predictions by fits, over all and per bin of fitted magnitude; see `fit_check`."""
    fitted = table[table["failure"] == ""]
    magnitude = fitted["magnitude_fitted"].to_numpy(float)
    bins = [(-np.inf, np.inf)]
    if len(fitted) >= 2 * _BINS:
        edges = np.quantile(magnitude, np.linspace(0, 1, _BINS + 1))
        edges[-1] += 1e-9
        bins += list(itertools.pairwise(edges))
    columns = {
        name: [fitted[f"{name}{end}"].to_numpy() for end in ("_fitted", "", "_err")]
        for name in parameters
    }
    rows = []
    for number, (low, high) in enumerate(bins):
        here = (magnitude >= low) & (magnitude < high)
        count = int(here.sum())
        whole = number == 0
        counts = {
            "sampled": sampled if whole else np.nan,
            "measured": len(table) if whole else count,
            "fitted": count,
            "failed": len(table) - len(fitted) if whole else 0,
        }
        for name in parameters:
            quantity = QUANTITIES[name]
            true, predicted, width = (values[here] for values in columns[name])
            finite = np.isfinite(predicted)
            error = quantity.errors(true[finite], predicted[finite])
            found = error_metrics(error, quantity.outlier)
            expected = quantity.errors(predicted, predicted + width)
            expected = expected[~np.isnan(expected)]
            within = np.abs(predicted - true) <= width
            # Laplace's estimate of the share leaves a binomial uncertainty at 0 and 1.
            share = (within.sum() + 1) / (count + 2)
            rows.append(
                {
                    "magnitude_low": np.nan if whole else round(low, 3),
                    "magnitude_high": np.nan if whole else round(high, 3),
                    "parameter": name,
                    "unit": quantity.error_unit,
                    **counts,
                    "median_difference": found["bias"],
                    "nmad": found["scatter"],
                    "outliers": found["outlier_fraction"],
                    "expected_error": np.median(expected) if len(expected) else np.nan,
                    "within_error": within.mean() if count else np.nan,
                    "within_error_err": np.sqrt(share * (1 - share) / max(count, 1)),
                }
            )
    return pd.DataFrame(rows)


def _draw(table: pd.DataFrame, parameters: Sequence[str], output: Path) -> None:
    """Draw predicted against fitted values of each parameter."""
    # The values stand in the tables beside it.
    with without_values(), drawing(output, 1, len(parameters), (2.8, 2.8)) as (_, axes):
        for axis, name in zip(axes[0], parameters, strict=True):
            known = table.dropna(subset=[f"{name}_fitted", name])
            if known.empty:
                empty(axis, "no object fitted")
                continue
            fitted, predicted = known[f"{name}_fitted"], known[name]
            look: dict[str, Any] = {"fmt": ".", "ms": 4, "lw": 0.6, "color": "#0072B2"}
            axis.errorbar(fitted, predicted, known[f"{name}_err"], **look)
            low, high = axis_range(np.concatenate([fitted, predicted]))
            axis.plot([low, high], [low, high], color="#000000", lw=0.8)
            axis.set(xlim=(low, high), ylim=(low, high))
            axis.set_xlabel(f"fitted {QUANTITIES[name].axis}")
        axes[0, 0].set_ylabel("predicted")
