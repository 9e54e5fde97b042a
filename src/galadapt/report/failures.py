"""Where measurements fail on a survey: for which galaxies, and for which of them in all methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.numbers.metrics import columns, labelled, nmad, quantities_of, r2
from galadapt.core.extraction_flags import Flag
from galadapt.core.files import read_json, read_table
from galadapt.core.quantity import Quantity
from galadapt.stamps.format import StampSet

#: Parts of the survey's test set with equal numbers of galaxies, by a true value.
_PARTS = 3

#: Fewest galaxies of a part that is judged: the scatter of fewer is uncertain by a fifth and more.
_FEWEST = 20

#: A part is named as worse than another from this ratio of their scatters on.
_WORSE = 1.5

#: Longest list of galaxies.
_LISTED = 12


@dataclass(frozen=True)
class Failures:
    """What the report states about where measurements fail."""

    method: str  #: variant and method that the parts are about
    sentences: list[str]
    parts: pd.DataFrame  #: scatter of each quantity, and share of outliers, by part
    shared: pd.DataFrame  #: galaxies that every method measures wrongly


def failures(
    runs: Sequence[Path], survey: Sequence[Path], pixel_scale: float | None
) -> Failures | None:
    """Find out where the best method fails on the survey, and what all methods fail on.

    Best is the method with the highest mean R² over the quantities; predictions are the mean over
    its seeds. Outliers are errors beyond the limit of their quantity (`Quantity.outlier`).

    Args:
        runs: Run folders with run.json and predictions.parquet.
        survey: Stamp set of the survey (none: neighbours are not looked at).
        pixel_scale: Of the stamps [arcsec/px], to give radii on the sky too.

    Returns:
        None where no number is measured, or the survey has too few labelled test galaxies.
    """
    found = _of_methods(runs)
    if found is None:
        return None
    quantities, tables = found
    best = max(tables, key=lambda name: _quality(tables[name], quantities))
    table = tables[best]
    if len(table) < _FEWEST:
        return None
    parts, sentences = [], []
    for title, levels in _divisions(table, quantities, survey, pixel_scale):
        rows = [_row(title, level, table[inside], quantities) for level, inside in levels]
        parts += rows
        sentences += _sentence(title, rows, quantities)
    shared = _shared(tables, quantities)
    sentences.append(_about_shared(shared, len(tables), len(table)))
    sentences += _without(shared, table, quantities)
    return Failures(best, sentences, pd.DataFrame(parts), shared)


def _of_methods(
    runs: Sequence[Path],
) -> tuple[tuple[Quantity, ...], dict[str, pd.DataFrame]] | None:
    """Test galaxies of the survey with the mean prediction of each method's seeds."""
    collected: dict[str, list[pd.DataFrame]] = {}
    quantities: tuple[Quantity, ...] = ()
    for run in map(Path, runs):
        record: Mapping[str, Any] = read_json(run / "run.json")
        answer = record.get("answer") or {}
        if answer.get("kind") != "numbers":
            return None
        quantities = quantities_of(answer)
        table = labelled(read_table(run / "predictions.parquet"), quantities)
        table = table[(table["domain"] == "survey") & (table["split"] == "test")]
        name = f"{record['method']} ({record['variant']})"
        collected.setdefault(name, []).append(table.set_index("id").sort_index())
    if not collected or not quantities:
        return None
    return quantities, {name: _averaged(tables, quantities) for name, tables in collected.items()}


def _averaged(tables: Sequence[pd.DataFrame], quantities: Sequence[Quantity]) -> pd.DataFrame:
    mean = tables[0].copy()
    for quantity in quantities:
        column = f"{quantity.name}_predicted"
        mean[column] = np.mean([table.loc[mean.index, column] for table in tables], axis=0)
    return mean


def _quality(table: pd.DataFrame, quantities: Sequence[Quantity]) -> float:
    found = [r2(*columns(table, quantity.name)) for quantity in quantities]
    return float(np.mean(found)) if np.isfinite(found).all() else -np.inf


def _errors(table: pd.DataFrame, quantity: Quantity) -> np.ndarray:
    return quantity.errors(*columns(table, quantity.name))


def _outlying(table: pd.DataFrame, quantity: Quantity) -> np.ndarray:
    # NaN is a failure too.
    inside: np.ndarray = np.abs(_errors(table, quantity)) <= quantity.outlier
    return ~inside


Division = tuple[str, list[tuple[str, np.ndarray]]]


def _divisions(
    table: pd.DataFrame,
    quantities: Sequence[Quantity],
    survey: Sequence[Path],
    pixel_scale: float | None,
) -> Iterator[Division]:
    for quantity in quantities:
        if quantity.name not in ("magnitude", "effective_radius"):
            continue
        true = columns(table, quantity.name)[0]
        edges = np.quantile(true, np.linspace(0, 1, _PARTS + 1))
        place = np.clip(np.searchsorted(edges, true, side="right") - 1, 0, _PARTS - 1)
        scale = pixel_scale if quantity.unit == "pix" else None
        levels = [
            (_level(edges[k], edges[k + 1], quantity, scale), place == k) for k in range(_PARTS)
        ]
        yield quantity.label, levels
    if survey:
        with StampSet(list(survey)) as stamps:
            known = stamps.table
        if "extraction_flags" in known:
            flags = known.set_index("id")["extraction_flags"].reindex(table.index, fill_value=0)
            crowded = (flags.to_numpy(np.int64) & int(Flag.NEIGHBOUR)) > 0
            yield (
                "neighbours",
                [("under 10 % of the light", ~crowded), ("over 10 % of the light", crowded)],
            )


def _level(low: float, high: float, quantity: Quantity, scale: float | None) -> str:
    unit = {"pix": "px"}.get(quantity.unit, quantity.unit)
    text = f"{low:.1f} to {high:.1f} {unit}".strip()
    return text if scale is None else f"{text} ({low * scale:.2f} to {high * scale:.2f} arcsec)"


def _row(
    title: str, level: str, table: pd.DataFrame, quantities: Sequence[Quantity]
) -> dict[str, Any]:
    row: dict[str, Any] = {"by": title, "part": level, "galaxies": len(table)}
    wrong = np.zeros(len(table), bool)
    for quantity in quantities:
        error = _errors(table, quantity)
        row[f"{quantity.label} [{quantity.error_unit}]"] = nmad(error[np.isfinite(error)])
        wrong |= _outlying(table, quantity)
    row["outliers"] = f"{100 * wrong.mean():.1f} %" if len(table) else "n/a"
    return row


def _sentence(
    title: str, rows: Sequence[Mapping[str, Any]], quantities: Sequence[Quantity]
) -> list[str]:
    """State in which part the scatter is largest, for the quantity where it differs most."""
    judged = [row for row in rows if row["galaxies"] >= _FEWEST]
    if len(judged) < 2:
        few = min(rows, key=lambda row: row["galaxies"])
        return [f"By {title}: only {few['galaxies']} galaxies in one part, too few to judge."]
    ratios = []
    for quantity in quantities:
        name = f"{quantity.label} [{quantity.error_unit}]"
        ordered = sorted(judged, key=lambda row: row[name])
        if ordered[0][name] > 0:
            ratios.append((ordered[-1][name] / ordered[0][name], quantity, name, ordered))
    if not ratios:
        return []
    ratio, quantity, name, ordered = max(ratios, key=lambda one: one[0])
    if ratio < _WORSE:
        return [f"By {title}: in no part is the scatter {_WORSE:g} times that in another."]
    low, high = ordered[0], ordered[-1]
    return [
        f"By {title}: the {quantity.label} differs most. Its scatter (NMAD) is {high[name]:.3f} "
        f"({quantity.error_unit}) for {high['part']}, {ratio:.1f} times that for {low['part']}."
    ]


def _shared(tables: Mapping[str, pd.DataFrame], quantities: Sequence[Quantity]) -> pd.DataFrame:
    """List galaxies that are outliers of one quantity in every method, the largest errors first."""
    head = ["id", "quantity", "catalogue value", "predicted by the methods"]
    index = sorted(set.intersection(*(set(table.index) for table in tables.values())))
    found = []
    for quantity in quantities:
        here = [table.loc[index] for table in tables.values()]
        wrong = np.all([_outlying(table, quantity) for table in here], axis=0)
        errors = np.min([np.abs(_errors(table, quantity)) for table in here], axis=0)
        predicted = np.array([columns(table, quantity.name)[1] for table in here])
        true = columns(here[0], quantity.name)[0]
        for k in np.flatnonzero(wrong):
            low, high = predicted[:, k].min(), predicted[:, k].max()
            line = [str(index[k]), quantity.axis, f"{true[k]:.2f}", f"{low:.2f} to {high:.2f}"]
            found.append((float(errors[k]) / quantity.outlier, line))
    found.sort(key=lambda one: (-one[0], one[1]))
    return pd.DataFrame([line for _, line in found], columns=head)


def _without(
    shared: pd.DataFrame, table: pd.DataFrame, quantities: Sequence[Quantity]
) -> list[str]:
    """State by how much these galaxies move R², for the quantity that they move most."""
    wrong = table.index.astype(str).isin(shared["id"])
    if not wrong.any() or len(table) - wrong.sum() < _FEWEST:
        return []
    pairs = [(columns(table, one.name), columns(table[~wrong], one.name)) for one in quantities]
    scores = [(r2(*whole), r2(*rest)) for whole, rest in pairs]
    k = int(np.argmax([rest - whole for whole, rest in scores]))
    whole, rest = scores[k]
    return [
        f"Without them, R² of the {quantities[k].label} would be {rest:.3f} instead of "
        f"{whole:.3f}: a few large errors dominate R², but not the scatter (NMAD)."
    ]


def _about_shared(shared: pd.DataFrame, methods: int, galaxies: int) -> str:
    if methods < 2:
        return "Only one method: galaxies on which all methods fail cannot be listed."
    names = list(dict.fromkeys(shared["id"]))
    if not names:
        return f"No galaxy is an outlier of the same quantity in all {methods} methods."
    listed = ", ".join(map(str, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")
    return (
        f"{len(names)} of {galaxies} galaxies are outliers of the same quantity in all {methods} "
        f"methods (id {listed}): look at their stamps and at their catalogue values first."
    )
