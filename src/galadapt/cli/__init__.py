"""The ``galadapt`` command."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from galadapt import __version__
from galadapt.cli import downloads, general, models, predict, similar, simulate, workflow
from galadapt.cli.explained import explain
from galadapt.core import home
from galadapt.core.errors import GaladaptError, RunError, lacks_memory, of_the_machine
from galadapt.core.interface import spelling
from galadapt.core.log import to_stderr

#: The extra of pyproject.toml that brings what a verb needs; `workflow` brings everything.
_EXTRAS = {"predict": "predict", "fit-check": "predict", "similar": "predict", "models": "models"}


def parser() -> argparse.ArgumentParser:
    """Build the command line.

    A verb imports what it runs when it runs, so that the command starts fast.
    """
    top = argparse.ArgumentParser(prog="galadapt", description=__doc__)
    top.add_argument("--version", action="version", version=f"galadapt {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True)
    for group in (workflow, simulate, predict, similar, general, models, downloads):
        group.add_verbs(verbs)
    explain(top)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; expected errors become one line and their exit code."""
    home.settle()
    parsed = parser().parse_args(arguments)
    to_stderr()
    # Figures are files: a notebook's own way to draw is not there for a command started from it.
    os.environ["MPLBACKEND"] = "Agg"
    try:
        with spelling({}):
            parsed.act(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`head`, `less`) has closed the pipe: what is left is dropped.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except GaladaptError as error:
        print(f"galadapt: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        explained = _explained(error, parsed)
        if explained is None:
            raise
        print(f"galadapt: {explained}", file=sys.stderr)
        return RunError.exit_code
    except KeyboardInterrupt:
        print("galadapt: interrupted; no incomplete file was left", file=sys.stderr)
        return 130
    return 0


def _explained(error: Exception, parsed: argparse.Namespace) -> str | None:
    """Explain an error that the machine or the installation causes; None for any other."""
    if lacks_memory(error):
        reason = " ".join(str(error).split()) or "no more can be allocated"
        return f"too little memory ({reason[:300]}); {_memory(parsed)}"
    machine = of_the_machine(error)
    if machine is not None:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        return f"{where}{machine}, and run the command again"
    if type(error).__module__.startswith("pydantic") and hasattr(error, "errors"):
        from galadapt.config.base import fault_of

        # A value that no check of the command has refused before.
        return f"{fault_of(error)}; correct it"  # type: ignore[arg-type]
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        if error.name.partition(".")[0] == "galadapt":
            return None
        extra = _EXTRAS.get(parsed.verb, "workflow")
        return (
            f"{error.name} is not installed, which `galadapt {parsed.verb}` needs; "
            f"install galadapt[{extra}]"
        )
    # A bug of ours ("cannot import name") is none of an installation, and keeps its traceback.
    if isinstance(error, ImportError) and ".so" in f"{error} {error.path}":
        return (
            f"a library is installed but cannot be loaded ({' '.join(str(error).split())[:300]}); "
            "mend its installation, or create the environment anew"
        )
    return None


def _memory(parsed: argparse.Namespace) -> str:
    """Say what a command may use, and about what it needs."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    allowed = "" if limit == resource.RLIM_INFINITY else f"{limit / 2**30:.1f} GiB are allowed "
    allowed = f"{allowed}(ulimit -v), " if allowed else ""
    paths = [Path(path) for _, *paths in getattr(parsed, "input", None) or [] for path in paths]
    stamps = sum(path.stat().st_size for path in paths if path.is_file())
    inputs = f", and up to twice the {stamps / 2**30:.1f} GiB of its inputs" if stamps else ""
    return (
        f"{allowed}TensorFlow alone takes 2.5 GiB of addresses (1 GiB of memory){inputs}: give "
        "the job more memory, or run fewer jobs at once"
    )
