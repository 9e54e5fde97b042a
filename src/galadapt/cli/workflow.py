"""The verbs of the pipeline: its configuration, its jobs and its results."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from galadapt.core.errors import ConfigError, DataError
from galadapt.core.interface import SETTINGS, spelling

if TYPE_CHECKING:
    from galadapt.core.stage import Paths
    from galadapt.tasks.experiment import Experiment

#: Help of the files that most commands read.
_FILES = "configuration files of the experiment (default: config/config.yaml)"


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line."""
    verb = verbs.add_parser("check", help="validate configuration files")
    verb.add_argument(
        "files", nargs="+", help="YAML files; keys of later ones replace those of earlier ones"
    )
    verb.add_argument(
        "--config",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="changes as Snakemake takes them, YAML: 'method_settings={baseline: {epochs: 3}}'",
    )
    verb.add_argument(
        "--results",
        action="store_true",
        help="list results that are not of this configuration and code",
    )
    verb.set_defaults(act=_check)

    verb = verbs.add_parser(
        "document", help="write generated files: configuration documents, dvc.yaml"
    )
    verb.add_argument("folder", nargs="?", default="config", help="default: %(default)s")
    verb.set_defaults(act=_document)

    verb = verbs.add_parser("stage", help="run one stage of the pipeline")
    verb.add_argument("name", help="name, as listed by `galadapt modules`")
    verb.add_argument("--settings", required=True, help="the job's settings as JSON")
    for option in ("--input", "--output"):
        verb.add_argument(
            option, nargs="+", action="append", metavar=("NAME", "PATH"), help="name and its paths"
        )
    verb.set_defaults(act=_stage)

    verb = verbs.add_parser("modules", help="list the modules whose edits rerun each stage")
    verb.add_argument("name", nargs="?", help="name of a stage (default: all)")
    verb.add_argument(
        "files", nargs="*", help="configuration files, to include what only their jobs load"
    )
    verb.set_defaults(act=_modules)

    verb = verbs.add_parser("show", help="print the comparison table")
    verb.add_argument("results", nargs="?", default="results", help="default: %(default)s")
    verb.set_defaults(act=_show)

    verb = verbs.add_parser("track", help="mirror finished runs to MLflow")
    verb.add_argument("files", nargs="*", default=["config/config.yaml"], help=_FILES)
    verb.set_defaults(act=_track)

    verb = verbs.add_parser("mlflow", help="show the runs that `track` copied, in the browser")
    verb.add_argument("files", nargs="*", default=["config/config.yaml"], help=_FILES)
    verb.add_argument("--port", type=int, default=5000, help="default: %(default)s")
    verb.set_defaults(act=_mlflow)

    verb = verbs.add_parser("prune", help="list results that the configuration no longer names")
    verb.add_argument("files", nargs="*", default=["config/config.yaml"], help=_FILES)
    verb.add_argument("--delete", action="store_true", help="remove them")
    verb.set_defaults(act=_prune)


def _check(arguments: argparse.Namespace) -> None:
    from galadapt.core.files import external_digest
    from galadapt.pipeline import store
    from galadapt.tasks.reading import assigned, load

    checked = load(*arguments.files, changes=assigned(arguments.config))
    external_digest(checked.model_dump(mode="json"))
    store.require(checked.tracking)
    measure = getattr(checked, "measure", None)
    if measure is not None:
        from galadapt.prediction.survey import listed

        print(f"measure: {listed.check(measure)} tiles")
    runs = list(checked.runs())
    print(f"{', '.join(arguments.files)}: valid; {len(runs)} training runs")
    if arguments.results:
        _check_results(checked)


def _check_results(checked: Experiment) -> None:
    from galadapt.pipeline.records import stale

    found = stale(checked)
    for path, reason in found.items():
        print(f"{path}: {reason}")
    if found:
        raise DataError(
            f"{checked.results}: {len(found)} results are not of this configuration and code; run "
            "the workflow again"
        )
    print(f"{checked.results}: every result present is of this configuration and code")


def _document(arguments: argparse.Namespace) -> None:
    from galadapt.pipeline import milestones
    from galadapt.prediction import pages
    from galadapt.tasks import document

    folder = Path(arguments.folder)
    written = [*document.write(folder), milestones.write(folder.parent)]
    for path in [*written, *pages.write(folder.parent / "docs" / "reference")]:
        print(path)


def _paths(pairs: Sequence[Sequence[str]] | None) -> Paths:
    return {name: [Path(path) for path in paths] for name, *paths in pairs or []}


def _stage(arguments: argparse.Namespace) -> None:
    from galadapt.pipeline import jobs, records

    try:
        job = json.loads(arguments.settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings: not valid JSON ({error})") from None
    inputs, outputs = _paths(arguments.input), _paths(arguments.output)
    with spelling(SETTINGS):
        jobs.find(arguments.name).run(job, inputs, outputs)
    records.write(arguments.name, job, inputs, outputs)


def _modules(arguments: argparse.Namespace) -> None:
    from galadapt.pipeline import jobs
    from galadapt.tasks.reading import load

    config = load(*arguments.files) if arguments.files else None
    for name in [arguments.name] if arguments.name else jobs.names():
        print(f"{name}: {', '.join(jobs.modules(name, config))}")


def _show(arguments: argparse.Namespace) -> None:
    results = Path(arguments.results)
    path = results / "tables" / "comparison.txt"
    if not path.is_file():
        raise DataError(f"{path}: no such table; run the workflow first, or name its results")
    print(path.read_text(encoding="utf-8"))
    print(f"Report: {results / 'report.html'}")


def _track(arguments: argparse.Namespace) -> None:
    from galadapt.pipeline import jobs
    from galadapt.pipeline.records import summary_of
    from galadapt.tasks.reading import load

    checked = load(*arguments.files)
    results = Path(checked.results)
    folders = [results / "runs" / run.folder for run in checked.runs()]
    jobs.find("track").run(
        jobs.settings(checked, "track"),
        {"runs": folders, "summary": summary_of(results, checked)},
        {"manifest": [results / "tracking" / "manifest.csv"]},
    )


def _mlflow(arguments: argparse.Namespace) -> None:
    from galadapt.pipeline import store
    from galadapt.tasks.reading import load

    uri = load(*arguments.files).tracking.uri
    if uri.startswith("http"):
        print(f"The tracking server is at {uri}")
        return
    server = ["mlflow", "ui", "--backend-store-uri", store.address(uri)]
    os.execvp(
        sys.executable,
        [sys.executable, "-m", *server, "--host", "127.0.0.1", "--port", str(arguments.port)],
    )


def _prune(arguments: argparse.Namespace) -> None:
    from galadapt.tasks.prune import remove, stale
    from galadapt.tasks.reading import load

    checked = load(*arguments.files)
    paths = stale(Path(checked.results), checked)
    for path in paths:
        print(path)
    if arguments.delete:
        remove(paths)
    elif paths:
        print(f"{len(paths)} results of earlier experiments; add --delete to remove them")
