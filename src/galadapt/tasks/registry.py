"""The tasks: the one place that names them all."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, get_args

from galadapt.config.training import Training
from galadapt.tasks.experiment import Experiment
from galadapt.tasks.task import Task

#: Package of each task; one is imported when it is first used. The first is the default.
TASKS = {
    "galaxies": "galadapt.tasks.galaxies",
    "stars": "galadapt.tasks.stars",
    "screening": "galadapt.tasks.screening",
    "votes": "galadapt.tasks.votes",
}

DEFAULT = next(iter(TASKS))


def config_file(name: str) -> str:
    """Name the file of a task's own experiment, in the project's folder."""
    return f"config/{'config' if name == DEFAULT else name}.yaml"


@cache
def task(name: str) -> Task:
    """Load a task."""
    return import_module(f"{TASKS[name]}.task").TASK


def experiments() -> dict[str, type[Experiment]]:
    """Load the experiment of every task."""
    return {name: task(name).settings for name in TASKS}


def method_of_task(name: str, values: dict[str, Any]) -> Training:
    """Read the settings of a method of a task."""
    methods = task(name).settings.model_fields["method_settings"].annotation
    kind: type[Training] = get_args(methods)[1]
    return kind.model_validate(values)
