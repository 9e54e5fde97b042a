"""Build the report: one HTML file without any outside asset.

The page holds no time and no path of this machine, so that equal results give equal bytes; how
long a training took is in its environment.json and in MLflow.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from galadapt.answers.classes.votes_of_groups import survey_answers
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table, write_text
from galadapt.evaluation.headline import classifies, counts, headings, headline

#: What of an environment.json differs between two equal runs, or is no version.
_NOT_VERSIONS = ("started", "ended", "seconds", "system", "machine", "threads", "backend")

#: Title and first sentence of each task's page.
TITLES = {
    "galaxies": (
        "How far can the networks be trusted?",
        "Galaxy structure measured by networks trained on simulations, tested on simulated "
        "galaxies and on a survey.",
    ),
    "stars": (
        "Which frames can be used?",
        "Star images told apart by networks: circular, comet or donut, split by frame.",
    ),
    "screening": (
        "Which fields need an expert's eye?",
        "X-ray fields screened by networks for regions that spoil the detection of sources.",
    ),
}

#: Longest table that is shown whole.
_MAX_ROWS = 60


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows, in a sentence."""

    path: Path
    caption: str


def build_report(
    output: Path,
    configuration: Mapping[str, Any],
    comparison_html: Path,
    pictures: Mapping[str, Sequence[Picture]],
    tables: Sequence[Path],
    runs: Sequence[Path],
    code: Mapping[str, str],
    package: Path | None = None,
    choice_html: Path | None = None,
    fits_html: Path | None = None,
    package_pictures: Sequence[Picture] = (),
) -> None:
    """Write the report.

    Args:
        output: HTML file to write.
        configuration: The whole configuration, as plain values.
        comparison_html: Fragment written by `galadapt.evaluation.compare.compare`.
        pictures: {section title: pictures}, in the order to be shown.
        tables: CSV files of what was left out of the data and of what it was made from, each
            called as in `TABLES`, in the order to be shown.
        runs: Evaluated run folders (run.json, metrics.json, environment.json), for the appendix.
        code: {stage: code digest}.
        package: The package.json of the networks that `galadapt predict` measures with; None:
            the task has none.
        choice_html: Fragment written by `galadapt.tasks.galaxies.choice.choose`; None: the task has
            none.
        fits_html: Fragment written by `galadapt.tasks.galaxies.against_fits.against_fits`; None: no
            profile was fitted.
        package_pictures: Figures of the package's errors.

    Raises:
        DataError: an input is missing or is not what its name promises.
    """
    fragment = _text(comparison_html)
    sections = [(title, _inlined(group)) for title, group in pictures.items()]
    folder = resources.files("galadapt.report")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(folder.joinpath("report.html").read_text("utf-8"))
    appendix = [_run_row(Path(run)) for run in runs]
    page = template.render(
        style=Markup(folder.joinpath("report.css").read_text("utf-8")),
        facts=_facts(configuration),
        # Fragments were escaped by the stages that wrote them.
        comparison=Markup(fragment),
        sections=sections,
        title=TITLES.get(str(configuration.get("task")), TITLES["galaxies"]),
        answers=_answers(runs),
        tables=[_shown(Path(path)) for path in tables],
        coverage=None if package is None else _coverage(package),
        coverage_pictures=_inlined(package_pictures),
        choice=None if choice_html is None else Markup(_text(choice_html)),
        fits=None if fits_html is None else Markup(_text(fits_html)),
        appendix=appendix,
        headings=appendix[0]["headings"] if appendix else [],
        caveats=_caveats(configuration, appendix),
        versions=_versions(runs),
        code=sorted(code.items()),
        configuration=json.dumps(configuration, indent=2, sort_keys=True, default=str),
    )
    write_text(output, page)


def _text(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; rerun the stage that writes it") from None


def _inline(path: Path) -> str:
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such figure; rerun the stage that draws it") from None
    if not content.startswith(b"\x89PNG"):
        raise DataError(f"{path}: not a PNG; delete it and rerun the stage that draws it")
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _inlined(pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    return [(_inline(picture.path), picture.caption) for picture in pictures]


def _table(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    table = read_table(path)
    missing = [name for name in wanted if name not in table]
    if missing:
        raise DataError(f"{path}: lacks the column(s) {', '.join(missing)}; rerun its stage")
    return table


def _rows(table: pd.DataFrame) -> dict[str, Any]:
    """Give a table's head and its first rows as text."""
    shown = table.head(_MAX_ROWS)
    return {
        "head": [str(name).replace("_", " ") for name in table.columns],
        "body": shown.astype(str).to_numpy().tolist(),
        "left_off": len(table) - len(shown),
    }


def _reasons(table: pd.DataFrame) -> pd.DataFrame:
    counts = table["reason"].value_counts()
    # Equal counts in a fixed order, or the page's bytes would depend on the table's order.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return pd.DataFrame(ordered, columns=["reason", "objects"])


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
    "cuts": ("Cuts on the catalogue", ("cut", "removed"), lambda table: table),
    "rejected": ("Left out when stamps were cut", ("reason",), _reasons),
    "frames": (
        "Frames and the stars used of them",
        ("frame", "label", "split", "status", "detector", "n_stars", "fwhm"),
        _frames,
    ),
}


def _shown(path: Path) -> dict[str, Any]:
    heading, needed, condense = TABLES[path.stem]
    return {
        "heading": f"{heading} ({path.parent.name})",
        **_rows(condense(_table(path, needed))),
    }


def _answers(runs: Sequence[Path]) -> dict[str, Any] | None:
    """What networks that classify say of the user's own images; None where there are none."""
    found = [(read_json(run / "run.json"), run / "answers.csv") for run in map(Path, runs)]
    table = survey_answers([(record, path) for record, path in found if path.is_file()])
    return None if table.empty else _rows(table)


def _coverage(package: Path) -> dict[str, Any]:
    """How often the errors of the package's predictions hold, for all magnitudes together."""
    record = read_json(package)
    try:
        rows = pd.DataFrame(
            {
                "test set": row["domain"],
                "errors of": f"{100 * row['level']:.0f} %",
                "galaxies": row["n"],
                **{name: f"{100 * row[name]:.1f} %" for name in record["parameters"]},
            }
            for row in record["coverage"]
            if row["magnitude_low"] is None and row["magnitude_high"] is None
        )
        return {
            "name": record["name"],
            "reference": record["reference_domain"],
            "networks": len(record["members"]),
            "table": _rows(rows),
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{package}: lacks {error}; rerun the stage 'package'") from None


def _facts(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say in a few lines what was run."""

    def listed(key: str) -> str:
        return ", ".join(map(str, configuration.get(key) or [])) or "none"

    galaxies = configuration.get("task", "galaxies") == "galaxies"
    data = _galaxies(configuration) if galaxies else _classified(configuration)
    return [
        ("Preset", str(configuration.get("preset", "unnamed"))),
        *data,
        ("Variants", listed("variants")),
        ("Methods", listed("methods")),
        ("Training seeds", listed("seeds")),
        ("Seed of the data", str(configuration.get("seed", "unknown"))),
    ]


def _galaxies(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    image = configuration.get("image") or {}
    survey = configuration.get("survey") or {}
    return [
        ("Survey", str(survey.get("kind", "unknown"))),
        (
            "Stamps",
            f"{image.get('stamp_size')} px of {image.get('pixel_scale')} arcsec, "
            f"{image.get('band')}, zero point {image.get('zero_point')} AB",
        ),
        ("Simulated", _sizes(configuration.get("simulation") or {})),
        *_sources(configuration),
    ]


def _sizes(simulation: Mapping[str, Any]) -> str:
    splits = (("n_train", "train"), ("n_validation", "validation"), ("n_test", "test"))
    counts = [(simulation[key], label) for key, label in splits if key in simulation]
    return ", ".join(f"{count:,} {label}".replace(",", " ") for count, label in counts)


def _sources(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say which methods learn from another simulation than the experiment's."""
    users: dict[str, list[str]] = {}
    for name in configuration.get("methods") or []:
        method = (configuration.get("method_settings") or {}).get(name, {})
        if method.get("simulation"):
            users.setdefault(method["simulation"], []).append(name)
    usual = _sizes(configuration.get("simulation") or {})
    found = []
    for simulation, names in users.items():
        sizes = _sizes((configuration.get("simulations") or {}).get(simulation, {}))
        # Said where they are not those of the line above.
        count = "" if sizes in ("", usual) else f"{sizes}; "
        text = f"{count}of {', '.join(names)} and what starts from it"
        found.append((f"Simulation {simulation}", text))
    return found


def _classified(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    def domain(name: str) -> str:
        return "none" if configuration.get(name) is None else str(configuration[name]["kind"])

    return [
        ("Task", str(configuration["task"])),
        ("Simulated", domain("simulated")),
        ("Own images", domain("survey")),
    ]


def _run_row(folder: Path) -> dict[str, Any]:
    run, metrics = read_json(folder / "run.json"), read_json(folder / "metrics.json")
    try:
        tests = {
            name: splits["test"] for name, splits in metrics["domains"].items() if "test" in splits
        }
        counted = {name: counts(metrics, test) for name, test in tests.items()}
        return {
            "variant": run["variant"],
            "method": run["method"],
            "seed": run["seed"],
            "epochs": f"{run.get('best_epoch', '?')} of {run.get('epochs_run', '?')}",
            "parameters": run.get("parameter_count", "?"),
            "n": {name: n for name, (n, _) in counted.items()},
            "failed": sum(failed for _, failed in counted.values()),
            "separability": _number((metrics.get("separability") or {}).get("auc")),
            "headings": headings(metrics),
            "classifies": classifies(metrics),
            "headline": {
                name: [_number(value) for value in headline(metrics, test)]
                for name, test in tests.items()
            },
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder}: run.json or metrics.json lacks {error}; rerun training and evaluation"
        ) from None


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _versions(runs: Sequence[Path]) -> list[tuple[str, str]]:
    """Collect the versions all runs were made with; differing ones are all named."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for key, value in read_json(Path(run) / "environment.json").items():
            if key not in _NOT_VERSIONS and isinstance(value, str):
                found.setdefault(key, set()).add(value)
    return [(key, ", ".join(sorted(values))) for key, values in sorted(found.items())]


def _caveats(configuration: Mapping[str, Any], appendix: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what the numbers do not say."""
    lines = []
    seeds = len(configuration.get("seeds") or [])
    if seeds < 3:
        lines.append(
            f"{seeds} training seed{'s' if seeds != 1 else ''}: the scatter between trainings is "
            "not known well enough to rank methods; use at least 3."
        )
    if any(row["classifies"] for row in appendix):
        return lines + _class_caveats(configuration)
    return _galaxy_caveats(configuration, appendix) + lines


def _class_caveats(configuration: Mapping[str, Any]) -> list[str]:
    lines = [
        "Classes are unequally common: accuracy mostly tells how common the largest is. Balanced "
        "accuracy is the mean recall of the classes.",
        "Stamps of one frame or observation are alike: intervals come from drawing these anew, "
        "not stamps, and few of them make wide intervals.",
        "R2's and R3's published figures hold for their own images.",
    ]
    if configuration.get("simulated") is not None:
        lines.append(
            "Simulated images hold the defects that were thought of. Success on them is "
            "necessary, not sufficient, for real ones."
        )
    leaking = [
        name
        for name in configuration.get("methods") or []
        if configuration["method_settings"][name].get("split") == "stamp"
    ]
    if leaking:
        lines.append(
            f"{', '.join(leaking)}: split by stamp, so that stamps of one frame train and test. "
            "The score is what R2 warns against, and stands here to show by how much it flatters."
        )
    return lines


def _galaxy_caveats(
    configuration: Mapping[str, Any], appendix: Sequence[Mapping[str, Any]]
) -> list[str]:
    lines = []
    sizes = {row["n"]["survey"] for row in appendix if "survey" in row["n"]}
    if sizes:
        count = min(sizes)
        lines.append(
            f"The survey's test set holds {count} galaxies. How far R² would move with other "
            "galaxies is the bootstrap interval below each table; smaller differences are not "
            "established."
        )
    if (configuration.get("splits") or {}).get("by") == "id":
        lines.append(
            "Survey galaxies are split by their identifier: stamps of training and test galaxies "
            "can overlap on the mosaic, which flatters methods that use its labels."
        )
    if (configuration.get("survey") or {}).get("kind") == "mock":
        lines.append(
            "The survey is a mock: its galaxies, PSF and sky differ from the simulations in ways "
            "that were chosen. Success on it is necessary, not sufficient, for the real sky."
        )
        lines.append(
            "The mock is more crowded than the sky (survey.density) and default simulations hold "
            "no neighbours: where extraction.neighbours keeps them, part of what the baseline "
            "loses is crowding."
        )
    lines += [
        "Reference values of survey galaxies are catalogue fits with errors of their own; no "
        "method can score higher than those errors allow.",
        "R² depends on the spread of the test set: the same errors give a lower R² on a narrower "
        "population. Compare methods within a column, not columns with each other.",
        "The AUC tells the domains apart by the network's features. Unlike populations alone keep "
        "it above 0.5, and 0.5 says that the domains look alike, not that measurements are right.",
        "R1 is the published system this pipeline reproduces (single-Sersic simulations, CANDELS "
        "F160W galaxies of van der Wel et al. 2012); its figures hold for its own galaxies.",
    ]
    return lines
