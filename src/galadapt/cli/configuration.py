"""`galadapt check` and `galadapt document`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both verbs to the command line."""
    verb = verbs.add_parser("check", help="validate configuration files, later over earlier")
    verb.add_argument("files", nargs="+")
    verb.set_defaults(act=_check)

    verb = verbs.add_parser(
        "document", help="write generated files: configuration documents, dvc.yaml"
    )
    verb.add_argument("folder", nargs="?", default="config")
    verb.set_defaults(act=_document)


def _check(arguments: argparse.Namespace) -> None:
    from galadapt.core.files import external_digest
    from galadapt.tasks.reading import load

    checked = load(*arguments.files)
    external_digest(checked.model_dump(mode="json"))
    runs = list(checked.runs())
    print(f"{', '.join(arguments.files)}: valid; {len(runs)} training runs")


def _document(arguments: argparse.Namespace) -> None:
    from galadapt.pipeline import milestones
    from galadapt.tasks import document

    folder = Path(arguments.folder)
    for path in [*document.write(folder), milestones.write(folder.parent)]:
        print(path)
