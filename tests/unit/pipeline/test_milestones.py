"""dvc.yaml: generated from what the tasks declare."""

from __future__ import annotations

from pathlib import Path

import yaml

from galadapt.pipeline import milestones
from galadapt.tasks import registry


def test_the_file_is_current(repository: Path) -> None:
    assert (repository / "dvc.yaml").read_text() == milestones.dvc_yaml(repository), (
        "run `make document`"
    )


def test_every_task_has_its_milestones(repository: Path) -> None:
    stages = yaml.safe_load(milestones.dvc_yaml(repository))["stages"]
    others = [task for task in registry.TASKS if task != registry.DEFAULT]
    names = ("data", "models", "tables")
    assert list(stages) == [*names, *(f"{o}_{name}" for o in others for name in names), "record"]
    for task in others:
        assert stages[f"{task}_tables"]["cmd"].endswith(f" {task}_all")
        assert {f"results/{task}/data": {"persist": True}} in stages[f"{task}_data"]["outs"]
