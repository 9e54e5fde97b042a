"""The stages of the pipeline: which library function turns which inputs into which outputs.

A workflow calls ``galadapt stage NAME --settings JSON --input KEY=PATH... --output KEY=PATH...``.
Each stage is a function below that imports what it needs inside its body: a job pays only for its
own imports, and `code` can name exactly the modules whose edits change its outputs.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from galadapt.errors import ConfigError
from galadapt.provenance import code_digest, code_modules

Paths = dict[str, list[Path]]
Stage = Callable[[dict[str, Any], Paths, Paths], None]

STAGES: dict[str, Stage] = {}


def stage(function: Stage) -> Stage:
    """Register a stage under its function's name."""
    STAGES[function.__name__] = function
    return function


def _source(name: str) -> str:
    try:
        function = STAGES[name]
    except KeyError:
        raise ConfigError(f"no stage '{name}'; known: {', '.join(sorted(STAGES))}") from None
    return textwrap.dedent(inspect.getsource(function))


@cache
def code(name: str) -> str:
    """Digest the code of a stage: its function and every module reached from its imports."""
    return code_digest(_source(name))


def modules(name: str) -> list[str]:
    """Name the modules whose edits rerun a stage."""
    return code_modules(_source(name))


def run(name: str, settings: dict[str, Any], inputs: Paths, outputs: Paths) -> None:
    """Run one stage."""
    _source(name)
    STAGES[name](settings, inputs, outputs)
