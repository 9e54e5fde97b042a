"""Jobs of the pipeline: the stages by their names, what decides about their outputs, their runs.

A workflow calls ``galadapt stage NAME --settings JSON --input KEY PATH... --output KEY PATH...``.
NAME is a shared stage (``train``), or a task and its stage (``stars.star_frames``).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from galadapt.core.errors import ConfigError
from galadapt.core.stage import Settings, Stage
from galadapt.evaluation.labels import adapts, simulation_of
from galadapt.tasks.experiment import Experiment
from galadapt.tasks.registry import TASKS
from galadapt.tasks.registry import task as task_named

_SHARED = "galadapt.pipeline.stages"


@cache
def _in_module(name: str) -> dict[str, Stage]:
    found = vars(import_module(name)).items()
    return {key: value for key, value in found if isinstance(value, Stage)}


def of_task(task: str) -> dict[str, Stage]:
    """Return the stages of a task, its own and the shared ones, by the names of `find`."""
    own = _in_module(f"{TASKS[task]}.stages")
    return {**{f"{task}.{name}": stage for name, stage in own.items()}, **_in_module(_SHARED)}


def names() -> list[str]:
    """Name the stages of all tasks."""
    return sorted({name for task in TASKS for name in of_task(task)})


def full_name(task: str, name: str) -> str:
    """Return the name for `find` of a stage that a task has or shares."""
    own = f"{task}.{name}"
    return own if own in of_task(task) else name


def find(name: str) -> Stage:
    """Return a stage; a ConfigError if there is none of this name."""
    task = name.partition(".")[0]
    known = of_task(task) if task in TASKS else _in_module(_SHARED)
    if name not in known:
        raise ConfigError(f"no stage '{name}'; known: {', '.join(names())}")
    return known[name]


def settings(config: Experiment, name: str, **wildcards: Any) -> Settings:
    """Collect what one job of a stage depends on; see `galadapt.core.stage.Stage.settings`.

    A stage may read four values as if they were keys of the experiment: `quantities`, the records
    of what the task measures; `survey_kind`, empty where the survey has no kinds; `learned_from`,
    the further simulation of each method, empty for the experiment's own; `adapted`, the methods
    that adapt a network to the survey.
    """
    stage = find(full_name(config.task, name))
    config = config.seen_by(wildcards)
    loaded = stage.loads(config, wildcards) if stage.loads else ()
    values = config.model_dump(mode="json")
    values["survey_kind"] = getattr(getattr(config, "survey", None), "kind", "")
    of_methods = values["method_settings"]
    values["learned_from"] = {name: simulation_of(name, of_methods) for name in config.methods}
    values["adapted"] = [name for name in config.methods if adapts(name, of_methods)]
    values["quantities"] = [quantity.to_dict() for quantity in task_named(config.task).quantities]
    return stage.settings(values, wildcards, loaded, of_task(config.task).values())


def modules(name: str, config: Experiment | None = None) -> list[str]:
    """Name the modules whose edits rerun a stage, or one that registries load in an experiment."""
    stage = find(name)
    loaded: set[str] = set()
    if stage.loads and config is not None:
        for job in config.runs():
            loaded |= set(stage.loads(config, job._asdict()))
    return stage.modules(loaded)
