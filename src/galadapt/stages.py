"""The stages of the pipeline: which library function turns which inputs into which outputs.

A workflow calls ``galadapt stage NAME --settings JSON --input KEY PATH... --output KEY PATH...``.
Each stage is a function below that imports what it needs inside its body: a job pays only for its
own imports, and `code` names exactly the modules whose edits change its outputs. ``reads`` lists
the keys of the configuration a stage depends on: together with the code digest they are a job's
settings, the one value that decides whether a finished output is still right.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from galadapt.config import Config
from galadapt.errors import ConfigError
from galadapt.files import external_digest
from galadapt.provenance import code_digest, code_modules, digest

Settings = dict[str, Any]


class Paths(dict[str, list[Path]]):
    """Named lists of paths; `one` gives the only path of a name."""

    def one(self, name: str) -> Path:
        """Return the single path called `name`."""
        if len(self.get(name, [])) != 1:
            raise ConfigError(f"--input/--output {name}: give exactly one path")
        return self[name][0]


Stage = Callable[[Settings, Paths, Paths], None]

STAGES: dict[str, Stage] = {}
READS: dict[str, tuple[str, ...]] = {}


def stage(*reads: str) -> Callable[[Stage], Stage]:
    """Register a stage under its function's name.

    Args:
        reads: Configuration keys the stage depends on, dotted; ``{name}`` is filled from the job's
            wildcards, as in ``method_settings.{method}``.
    """

    def register(function: Stage) -> Stage:
        STAGES[function.__name__] = function
        READS[function.__name__] = reads
        return function

    return register


def _source(name: str) -> str:
    if name not in STAGES:
        raise ConfigError(f"no stage '{name}'; known: {', '.join(sorted(STAGES))}")
    return textwrap.dedent(inspect.getsource(STAGES[name]))


@cache
def code(name: str) -> str:
    """Digest the code of a stage: its function and every module reached from its imports."""
    return code_digest(_source(name))


def modules(name: str) -> list[str]:
    """Name the modules whose edits rerun a stage."""
    return code_modules(_source(name))


def settings(config: Config, name: str, **wildcards: Any) -> Settings:
    """Collect what one job of a stage reads: its part of the configuration, wildcards and code.

    Files outside the project that the configuration names (a PSF, a survey's folder) take part by
    their digest, because their paths differ between machines.
    """
    code_now = code(name)
    values: Settings = {}
    for template in READS[name]:
        *path, last = template.format(**wildcards).split(".")
        node: Any = config.model_dump(mode="json")
        target = values
        for key in path:
            node, target = node[key], target.setdefault(key, {})
        target[last] = node[last]
    external = external_digest(values)
    return {
        "config": values,
        "code": code_now,
        **({"external": external} if external else {}),
        **({"wildcards": wildcards} if wildcards else {}),
    }


def run(name: str, job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Run one stage with the settings of one job."""
    _source(name)
    STAGES[name](job, inputs, outputs)


def _provenance(job: Settings) -> dict[str, Any]:
    return {"settings": job["config"], "code": job["code"], "digest": digest(job)}
