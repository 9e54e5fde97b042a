"""The other tasks on the same pipeline: each runs, is then done, and reruns only what changed."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd
import pytest
from dag import MILESTONES, Project

pytestmark = pytest.mark.workflow


def runs(count: int, trained: int) -> dict[str, int]:
    return {"train": trained, "predict": count, "evaluate": count, "run_figures": count}


#: Jobs of the data and of the runs that follow from a change, and a job that must not.
CHANGES = {
    "stars": (
        {"detection": {"threshold": 30.0}},
        {"star_stamps": 1, "data_figures": 1, "variant": 1, **runs(2, 2)},
        "star_frames",
    ),
    "screening": (
        {"variant_chains": {"contrast": [{"step": "contrast", "floor": 0.1}]}},
        {"variant": 1, **runs(2, 2)},
        "simulated_fields",
    ),
    # Of three methods one learns from the images of the survey.
    "votes": (
        {"survey": {"telescope": {"gain": 5.0}}},
        {"survey_votes": 1, "data_figures": 1, "variant": 1, **runs(3, 1), "choice": 1},
        "simulated_votes",
    ),
}
TABLES = {
    **{"feature_space": 1, "track": 1},
    **{"comparison": 1, "comparison_figures": 1, "report": 1},
}


PLACES = {task: [f"{task}_{name}" for name in MILESTONES[:3]] for task in CHANGES}


@dataclass
class Tried:
    """What the one project that all tasks were run in printed and planned."""

    project: Project
    printed: str
    planned: dict[str, int]


@pytest.fixture(scope="module")
def tried(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """The project with every task run, which then plans a change of each."""
    project = finished.copy(tmp_path_factory.mktemp("tasks") / "project")
    # What is set for the machine holds for every task, reaches its jobs and changes no result.
    project.configure(compute={"stamps_on_device": True})
    assert project.planned("all") == {}
    printed = project.run("dvc", "repro", *(names[-1] for names in PLACES.values()))
    project.run("dvc", "repro", "record")
    # The default experiment stands beside them, untouched.
    every = [name for names in PLACES.values() for name in names]
    assert "up to date" in project.run("dvc", "status", *every, "record")
    assert project.planned("all", *CHANGES) == {}
    for task, (changes, _, _) in CHANGES.items():
        project.configure(task, **changes)
    return Tried(project, printed, project.planned("all", *CHANGES))


@pytest.mark.parametrize("task", sorted(CHANGES))
def test_a_task_runs(tried: Tried, task: str) -> None:
    ran = [name for name in PLACES[task] if f"Running stage '{name}'" in tried.printed]
    assert ran == PLACES[task]
    results = tried.project.folder / "results" / task
    comparison = pd.read_csv(results / "tables/comparison.csv")
    methods = tried.project.settings(task)["methods"]
    assert set(comparison["method"]) == set(methods)
    page = (results / "report.html").read_text()
    assert "All runs" in page
    assert page.count("data:image/png") >= 4
    manifest = pd.read_csv(results / "tracking/manifest.csv")
    assert manifest["task"].tolist() == [task] * len(methods)
    environments = list(results.glob("runs/**/environment.json"))
    kept = [json.loads(path.read_text())["stamps_on_device"] for path in environments]
    assert kept == [True] * len(methods)


@pytest.mark.parametrize("task", sorted(CHANGES))
def test_a_task_reruns_what_changed(tried: Tried, task: str) -> None:
    _, expected, untouched = CHANGES[task]
    prefix = f"{task}_"
    jobs = {
        name.removeprefix(prefix): number
        for name, number in tried.planned.items()
        if name.startswith(prefix)
    }
    assert jobs == {**expected, **TABLES}
    assert untouched not in jobs


def test_changes_of_other_tasks_rerun_nothing_of_the_default(tried: Tried) -> None:
    assert {name.split("_")[0] for name in tried.planned} == set(CHANGES)
