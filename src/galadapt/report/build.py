"""Build the report: one HTML file without any outside asset.

The page holds no path of this machine and no time but the day of the trainings; how long these took
is in their environment.json and in MLflow.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from galadapt.answers.best import number
from galadapt.answers.classes.groups import survey_predictions
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table, write_text
from galadapt.core.quantity import QUANTITIES, label_of
from galadapt.evaluation.labels import simulation_of
from galadapt.evaluation.runs import Metrics
from galadapt.evaluation.tables import render_html
from galadapt.report.failures import failures
from galadapt.report.words import Words

#: Texts of an environment.json that differ between two equal runs, or are no version.
_NOT_VERSIONS = ("started", "ended", "system", "machine", "backend", "commit")

#: Where a figure of the report stands.
SECTIONS = ("best", "fails", "errors", "features", "data")

#: Longest table that is shown whole.
_MAX_ROWS = 60

#: Fewest epochs of any network, and simulated stamps, from which on results may mean something:
#: those of the experiments in config/ are 5 and 2,000, of the tests' at most 2 and 128.
_EPOCHS, _STAMPS = 4, 500


#: A PNG and its caption. A CSV of the same name beside it holds what it shows.
Picture = tuple[Path, str]


def build_report(
    output: Path,
    configuration: Mapping[str, Any],
    words: Words,
    comparison_html: Path,
    pictures: Mapping[str, Sequence[Picture]],
    tables: Sequence[Path],
    runs: Sequence[Path],
    code: Mapping[str, str],
    survey: Sequence[Path],
    package: Path | None,
    choice_html: Path | None,
    fits_html: Path | None,
) -> None:
    """Write the report.

    Args:
        comparison_html: Fragment written by `galadapt.evaluation.compare.compare`.
        pictures: {section: pictures}; sections are `galadapt.report.captions.SECTIONS`.
        tables: CSV files of what was left out of the data and of what it was made from, each
            called as in `TABLES`, in the order to be shown.
        runs: Evaluated run folders (run.json, metrics.json, environment.json, predictions.parquet).
        code: {stage: code digest}.
        survey: Stamp set of the survey, for the flags of its objects, if any.
        package: The package.json of the networks that `galadapt predict` measures with, if any.
        choice_html: Fragment written by `galadapt.evaluation.choice.choose`, if any.
        fits_html: Fragment written by `galadapt.tasks.galaxies.against_fits.against_fits`, if any.

    Raises:
        DataError: an input is missing or is not what its name promises.
    """
    style = resources.files("galadapt.report").joinpath("report.css").read_text("utf-8")
    settings = configuration["method_settings"]
    methods = {name: settings[name] for name in configuration["methods"]}
    simulations = {name: simulation_of(name, settings) for name in methods}
    appendix = [_run_row(Path(run), simulations) for run in runs]
    scale = (configuration.get("image") or {}).get("pixel_scale")
    page = render_html(
        "report.html",
        "galadapt.report",
        trim=True,
        style=Markup(style),
        facts=_facts(configuration, words),
        warning=_meaningless(configuration),
        methods=methods,
        rows=_rows,
        # Fragments were escaped by the stages that wrote them.
        comparison=Markup(_text(comparison_html)),
        sections={name: _inlined(pictures.get(name, ())) for name in SECTIONS},
        failures=failures(runs, survey, scale),
        title=(words.title, words.lead),
        own_images=_own_images(runs),
        tables=[_shown(Path(path)) for path in tables],
        coverage=package and _coverage(package),
        choice=choice_html and Markup(_text(choice_html)),
        fits=fits_html and Markup(_text(fits_html)),
        appendix=appendix,
        caveats=_caveats(configuration, words, appendix),
        made=_made(runs),
        versions=_versions(runs),
        code=sorted(code.items()),
        configuration=json.dumps(configuration, indent=2, sort_keys=True, default=str),
    )
    write_text(output, page)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; rerun the stage that writes it") from None


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8")


def _inlined(pictures: Sequence[Picture]) -> list[dict[str, str]]:
    """Put figures into the page, with their values to download where they do not show pictures."""
    found = []
    for path, caption in pictures:
        content, table = _bytes(path), path.with_suffix(".csv")
        if not content.startswith(b"\x89PNG"):
            raise DataError(f"{path}: not a PNG; delete it and rerun the stage that draws it")
        numbers = base64.b64encode(table.read_bytes()).decode() if table.is_file() else ""
        picture = base64.b64encode(content).decode()
        file = f"{path.parent.name}_{table.name}"
        found.append({"picture": picture, "caption": caption, "numbers": numbers, "file": file})
    return found


def _rows(table: pd.DataFrame) -> dict[str, Any]:
    """Give a table's head and its first rows as text."""
    shown = table.head(_MAX_ROWS).copy()
    for name in shown.select_dtypes("float"):
        shown[name] = shown[name].map(number)
    return {
        "head": [str(name).replace("_", " ") for name in table.columns],
        "body": shown.astype(str).to_numpy().tolist(),
        "left_off": len(table) - len(shown),
    }


def _reasons(table: pd.DataFrame) -> pd.DataFrame:
    counts = table["reason"].value_counts()
    # Equal counts in a fixed order, or the page's bytes would depend on the table's order.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    ordered = [(label_of(str(reason)), count) for reason, count in ordered]
    return pd.DataFrame(ordered, columns=["reason", "objects"])


#: How rows of the table of cuts are named that are not about a quantity.
_CUTS = {"catalog": "whole catalogue", "signal_to_noise": "signal-to-noise ratio"}

#: What conditions of that table are written with, in words and symbols.
_CONDITIONS = {
    **{"<=": "≤", ">=": "≥", r"\bsn\b": "S/N"},
    **{rf"\b{name}\b": label_of(name) for name in QUANTITIES},
}


def _cuts(table: pd.DataFrame) -> pd.DataFrame:
    cuts = table.assign(cut=[_CUTS.get(name, label_of(name)) for name in table["cut"]])
    if "condition" in cuts:
        cuts["condition"] = cuts["condition"].replace(_CONDITIONS, regex=True)
    return cuts


def _frames(table: pd.DataFrame) -> pd.DataFrame:
    grouped = table.assign(detector=table["detector"].fillna("none")).groupby(
        ["label", "split", "status", "detector"], sort=True, dropna=False
    )
    found = grouped.agg(
        frames=("frame", "size"), stars=("n_stars", "sum"), seeing=("fwhm", "median")
    )
    found["seeing"] = [f"{value:.2f} arcsec" for value in found["seeing"]]
    return found.reset_index()


#: What of a table is shown: its heading, the columns it needs, and how it is condensed.
TABLES: dict[str, tuple[str, tuple[str, ...], Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "cuts": ("Cuts on the catalogue", ("cut", "removed"), _cuts),
    "rejected": ("Objects rejected when stamps were cut", ("reason",), _reasons),
    "frames": (
        "Frames and their stars",
        ("frame", "label", "split", "status", "detector", "n_stars", "fwhm"),
        _frames,
    ),
}


def _shown(path: Path) -> dict[str, Any]:
    heading, needed, condense = TABLES[path.stem]
    table = condense(read_table(path, needed))
    return {"heading": f"{heading} ({path.parent.name})", "table": table}


def _own_images(runs: Sequence[Path]) -> pd.DataFrame:
    """Tabulate predicted classes of the user's own images; empty where there are none."""
    found = [(read_json(run / "run.json"), run / "groups.csv") for run in map(Path, runs)]
    return survey_predictions([(record, path) for record, path in found if path.is_file()])


def _coverage(package: Path) -> dict[str, Any]:
    """How often the errors of the package's predictions hold, for all magnitudes together."""
    record = read_json(package)
    try:
        whole = [
            row
            for row in record["coverage"]
            if row["magnitude_low"] is None and row["magnitude_high"] is None
        ]
        rows = pd.DataFrame(
            {
                "test set": row["domain"],
                "errors of": f"{100 * row['level']:.0f} %",
                "galaxies": row["n"],
                **{label_of(name): f"{100 * row[name]:.1f} %" for name in record["parameters"]},
            }
            for row in whole
        )
        return {
            "name": record["name"],
            "reference": " and ".join(record["reference_domains"]),
            "networks": len(record["members"]),
            "table": rows,
            "sentences": [_coverage_verdict(row, record["parameters"]) for row in whole],
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{package}: lacks {error}; rerun the stage 'package'") from None


def _coverage_verdict(row: Mapping[str, Any], parameters: Sequence[str]) -> str:
    """State whether errors of one level hold on one test set, as far as its size can tell."""
    level, count = row["level"], row["n"]
    place = f"{row['domain'].capitalize()} test set, {100 * level:.0f} % errors"
    if not count:
        return f"{place}: no galaxy to test them on."
    chance = 2 * math.sqrt(level * (1 - level) / count)
    low, high = max(level - chance, 0.0), min(level + chance, 1.0)
    found: dict[str, list[str]] = {"too small": [], "larger than necessary": []}
    for name in parameters:
        text = f"{label_of(name)} ({100 * row[name]:.1f} %)"
        if row[name] < low:
            found["too small"].append(text)
        elif row[name] > high:
            found["larger than necessary"].append(text)
    named = [f"{kind} for {', '.join(names)}" for kind, names in found.items() if names]
    left = len(parameters) - sum(map(len, found.values()))
    if left:
        named.append("as stated for the others" if named else "as stated for all quantities")
    expected = f"{100 * low:.1f} to {100 * high:.1f} % of {count} galaxies are expected"
    return f"{place} are {'; '.join(named)} ({expected})."


def _facts(configuration: Mapping[str, Any], words: Words) -> list[tuple[str, str]]:
    """State in a few lines what was run."""
    return [
        ("Preset", configuration["preset"]),
        *words.facts(configuration),
        ("Variants", ", ".join(configuration["variants"])),
        ("Training seeds", ", ".join(map(str, configuration["seeds"]))),
        ("Seed of the data", str(configuration["seed"])),
    ]


def _meaningless(configuration: Mapping[str, Any]) -> str:
    """State that the results mean nothing where the settings allow no network to learn; or ""."""
    methods = [configuration["method_settings"][name] for name in configuration["methods"]]
    trained = [one["epochs"] for one in methods if one["learner"]["kind"] != "sklearn"]
    stamps = [
        section["n_train"]
        for section in (configuration.get(name) or {} for name in ("simulation", "simulated"))
        if section.get("n_train")
    ]
    reasons = []
    if trained and max(trained) < _EPOCHS:
        epochs = f"{max(trained)} epoch{'s' if max(trained) > 1 else ''}"
        reasons.append(f"no network was trained for more than {epochs}")
    if stamps and max(stamps) < _STAMPS:
        reasons.append(f"{max(stamps)} simulated stamps were there to learn from")
    if not reasons:
        return ""
    return (
        f"The results on this page mean nothing: {' and '.join(reasons)}. They show that "
        "everything runs, not which method is best; the sentences below are not to be believed."
    )


def _run_row(folder: Path, simulations: Mapping[str, str]) -> dict[str, Any]:
    run, metrics = read_json(folder / "run.json"), Metrics(folder / "metrics.json")
    columns, first = metrics.headline(), metrics.items[0]
    try:
        return {
            "variant": run["variant"],
            "method": run["method"],
            "seed": run["seed"],
            "epochs": f"{run.get('best_epoch', '?')} of {run.get('epochs_run', '?')}",
            "parameters": f"{run['parameter_count']:,}" if "parameter_count" in run else "",
            "n": {name: f"{int(metrics.value(name, first, 'n')):,}" for name in metrics.domains},
            "simulation": simulations[run["method"]],
            "failed": sum(int(metrics.value(name, first, "failed")) for name in metrics.domains),
            "separability": number(metrics.separability),
            "headings": [column.head for column in columns],
            "headline": {
                name: [number(metrics.figure(name, column)) for column in columns]
                for name in metrics.domains
            },
        }
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{folder}: run.json or metrics.json lacks {error}; rerun training and evaluation"
        ) from None


def _made(runs: Sequence[Path]) -> list[tuple[str, str]]:
    """State when and from which commit the networks were trained."""
    records = [read_json(Path(run) / "environment.json") for run in runs]
    days = sorted({str(one["started"])[:10] for one in records if one.get("started")})
    commits = sorted({str(one["commit"]) for one in records if one.get("commit")})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else "not recorded"
    return [("Trained on", when), ("Commit", ", ".join(commits) or "not recorded")]


def _versions(runs: Sequence[Path]) -> list[tuple[str, str]]:
    """Collect the versions all runs were made with; differing ones are all named."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for key, value in read_json(Path(run) / "environment.json").items():
            if key not in _NOT_VERSIONS and isinstance(value, str):
                found.setdefault(key, set()).add(value)
    return [(key, ", ".join(sorted(values))) for key, values in sorted(found.items())]


def _caveats(
    configuration: Mapping[str, Any], words: Words, appendix: Sequence[Mapping[str, Any]]
) -> list[str]:
    """State what the numbers do not show."""
    lines = words.caveats(configuration, [row["n"] for row in appendix])
    seeds = len(configuration["seeds"])
    if seeds < 3:
        lines.append(
            f"{seeds} training seed{'s' if seeds != 1 else ''}: the scatter between trainings is "
            "not known well enough to rank methods; use at least 3."
        )
    return lines
