"""The ``galadapt`` command: thin verbs over the library."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from galadapt import __version__, config, stages
from galadapt.errors import ConfigError, GaladaptError


def _paths(pairs: Sequence[Sequence[str]] | None) -> stages.Paths:
    return stages.Paths({name: [Path(path) for path in paths] for name, *paths in pairs or []})


def _stage(arguments: argparse.Namespace) -> None:
    try:
        job = json.loads(arguments.settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings: not valid JSON ({error})") from None
    stages.run(arguments.name, job, _paths(arguments.input), _paths(arguments.output))


def _check(arguments: argparse.Namespace) -> None:
    checked = config.load(*arguments.files)
    runs = list(checked.runs())
    print(f"{', '.join(arguments.files)}: valid; {len(runs)} training runs")


def _document(arguments: argparse.Namespace) -> None:
    from galadapt import config_document

    for path in config_document.write(Path(arguments.folder)):
        print(path)


def _modules(arguments: argparse.Namespace) -> None:
    for name in sorted(stages.STAGES):
        if arguments.name in (None, name):
            print(f"{name}: {', '.join(stages.modules(name))}")


def _show(arguments: argparse.Namespace) -> None:
    from galadapt.evaluation.compare import console_table

    results = Path(arguments.results)
    print(console_table(results / "tables" / "comparison.csv"))
    print(f"Report: {results / 'report.html'}")


def _track(arguments: argparse.Namespace) -> None:
    checked = config.load(*arguments.files)
    results = Path(checked.results)
    folders = [
        results.joinpath("runs", *map(str, run[:3]), f"seed{run.seed}") for run in checked.runs()
    ]
    stages.run(
        "track",
        stages.settings(checked, "track"),
        stages.Paths(runs=folders),
        stages.Paths(manifest=[results / "tracking" / "manifest.csv"]),
    )


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(prog="galadapt", description=__doc__)
    top.add_argument("--version", action="version", version=f"galadapt {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True)

    verb = verbs.add_parser("stage", help="run one stage of the pipeline")
    verb.add_argument("name", choices=sorted(stages.STAGES))
    verb.add_argument("--settings", required=True, help="the job's settings as JSON")
    for option in ("--input", "--output"):
        verb.add_argument(
            option, nargs="+", action="append", metavar=("NAME", "PATH"), help="a name, its paths"
        )
    verb.set_defaults(act=_stage)

    verb = verbs.add_parser("check", help="validate configuration files, later over earlier")
    verb.add_argument("files", nargs="+")
    verb.set_defaults(act=_check)

    verb = verbs.add_parser("document", help="write the configuration's README.md and schema.json")
    verb.add_argument("folder", nargs="?", default="config")
    verb.set_defaults(act=_document)

    verb = verbs.add_parser("modules", help="list the modules whose edits rerun each stage")
    verb.add_argument("name", nargs="?")
    verb.set_defaults(act=_modules)

    verb = verbs.add_parser("show", help="print the comparison table")
    verb.add_argument("results", nargs="?", default="results")
    verb.set_defaults(act=_show)

    verb = verbs.add_parser("track", help="mirror finished runs to MLflow")
    verb.add_argument("files", nargs="*", default=["config/config.yaml"])
    verb.set_defaults(act=_track)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; expected errors become one line and their exit code."""
    parsed = parser().parse_args(arguments)
    try:
        parsed.act(parsed)
    except GaladaptError as error:
        print(f"galadapt: {error}", file=sys.stderr)
        return error.exit_code
    return 0
