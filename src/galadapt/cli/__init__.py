"""The ``galadapt`` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from galadapt import __version__
from galadapt.cli import downloads, models, predict, simulate, workflow
from galadapt.core.errors import OF_THE_MACHINE, GaladaptError, RunError
from galadapt.core.log import to_stderr

#: The extra of pyproject.toml that brings what a verb needs; `workflow` brings everything.
_EXTRAS = {"predict": "predict", "fit-check": "predict", "models": "models"}


def parser() -> argparse.ArgumentParser:
    """Build the command line.

    A verb imports what it runs when it runs, so that the command starts fast.
    """
    top = argparse.ArgumentParser(prog="galadapt", description=__doc__)
    top.add_argument("--version", action="version", version=f"galadapt {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True)
    for group in (workflow, simulate, predict, models, downloads):
        group.add_verbs(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; expected errors become one line and their exit code."""
    parsed = parser().parse_args(arguments)
    to_stderr()
    try:
        parsed.act(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`head`, `less`) has closed the pipe: what is left is dropped.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except GaladaptError as error:
        print(f"galadapt: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"galadapt: {where}{error.strerror}; make room or correct the permissions, and run "
            "the command again",
            file=sys.stderr,
        )
        return RunError.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "galadapt":
            raise
        extra = _EXTRAS.get(parsed.verb, "workflow")
        print(
            f"galadapt: {error.name} is not installed, which `galadapt {parsed.verb}` needs; "
            f"install galadapt[{extra}]",
            file=sys.stderr,
        )
        return RunError.exit_code
    except KeyboardInterrupt:
        print("galadapt: interrupted; no incomplete file was left", file=sys.stderr)
        return 130
    return 0
