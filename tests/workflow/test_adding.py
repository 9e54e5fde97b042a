"""Adding a task, a learner and a measured quantity, as docs/how-to/add.md describes it.

The files in ``additions`` are copied into a project, which then runs them through the DAG. Nothing
but the files that docs/how-to/add.md names is edited.
"""

from __future__ import annotations

import json
import re
import shutil

import pandas as pd
import pytest
from dag import Project, new_project

pytestmark = pytest.mark.workflow

LEARNER_SETTINGS = '''class Middle(LearnerSettings):
    """The mean of the labels."""

    kind: Literal["middle"] = "middle"


#: The kinds of learner'''


def add_task_and_learner(project: Project) -> None:
    shutil.copytree(project.folder / "tests/workflow/additions", project.folder, dirs_exist_ok=True)
    name = '    "screening": "galadapt.tasks.screening",\n'
    project.edit(
        "src/galadapt/tasks/registry.py", name, name + '    "blobs": "galadapt.tasks.blobs",\n'
    )
    name = '    "sklearn": ('
    project.edit(
        "src/galadapt/learners/registry.py",
        name,
        '    "middle": ("galadapt.learners.middle", "MiddleLearner"),\n' + name,
    )
    training = "src/galadapt/config/training.py"
    project.edit(training, "#: The kinds of learner", LEARNER_SETTINGS)
    project.edit(training, "LearnerKind = Annotated[", "LearnerKind = Annotated[Middle | ")


def test_a_new_task_and_a_new_learner_run_and_rerun_alone(repository, tmp_path) -> None:
    project = new_project(repository, tmp_path / "project")
    add_task_and_learner(project)
    project.snakemake("blobs")
    results = project.folder / "results/blobs"
    comparison = pd.read_csv(results / "tables/comparison.csv")
    r2 = comparison.query("metric == 'r2' and domain == 'survey'")
    assert set(r2["item"]) == {"peak", "width"}
    # The mean of the training explains nothing.
    assert (r2.query("method == 'middle'")["mean"] < 0.01).all()
    page = (results / "report.html").read_text()
    assert "How wide is a blob?" in page
    assert "Blobs are no galaxies." in page
    run = json.loads((results / "runs/blobs/plain/middle/seed1/run.json").read_text())
    assert [quantity["name"] for quantity in run["answer"]["quantities"]] == ["peak", "width"]

    assert project.planned("blobs") == {}
    # An edited learner trains its own runs again, and nothing of another learner.
    project.edit("src/galadapt/learners/middle.py", '"loss": 1.0', '"loss": 2.0')
    assert project.planned("blobs")["blobs_train"] == 1
    plan = project.run("snakemake", "-n", "blobs", "--quiet", "progress")
    assert re.findall(r"rule blobs_train:.*?method=(\w+)", plan, re.DOTALL) == ["middle"]


def test_a_new_quantity_is_one_line(repository, tmp_path) -> None:
    """The position angle is a column of all stamp sets; as a quantity of the task it is learned."""
    project = new_project(
        repository,
        tmp_path / "project",
        variants=["asinh"],
        methods=["baseline"],
        predictor={"variant": "asinh", "method": "baseline"},
    )
    project.edit(
        "src/galadapt/tasks/galaxies/task.py",
        "quantities=SERSIC,",
        'quantities=(*SERSIC, Quantity("position_angle", "position angle", "PA", "deg")),',
    )
    project.edit(
        "src/galadapt/tasks/galaxies/task.py",
        "from galadapt.core.quantity import SERSIC",
        "from galadapt.core.quantity import SERSIC, Quantity",
    )
    project.snakemake("results/tables/comparison.csv", "results/figures/r2_by_method.png")
    comparison = pd.read_csv(project.folder / "results/tables/comparison.csv")
    assert "position_angle" in set(comparison["item"])
    assert "R² position angle" in (project.folder / "results/tables/comparison.md").read_text()
