"""The other tasks on the same pipeline: each runs, is then done, and reruns only what changed."""

from __future__ import annotations

import json

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


@pytest.mark.parametrize("task", sorted(CHANGES))
def test_a_task_runs_and_reruns_what_changed(copy: Project, task: str) -> None:
    # What is set for the machine holds for every task, reaches its jobs and changes no result.
    copy.configure(compute={"stamps_on_device": True})
    assert copy.planned("all") == {}
    milestones = [f"{task}_{name}" for name in MILESTONES[:3]]
    ran = copy.run("dvc", "repro", milestones[-1])
    copy.run("dvc", "repro", "record")
    assert [name for name in milestones if f"Running stage '{name}'" in ran] == milestones
    results = copy.folder / "results" / task
    comparison = pd.read_csv(results / "tables/comparison.csv")
    methods = copy.settings(task)["methods"]
    assert set(comparison["method"]) == set(methods)
    page = (results / "report.html").read_text()
    assert "All runs" in page
    assert page.count("data:image/png") >= 4
    manifest = pd.read_csv(results / "tracking/manifest.csv")
    assert manifest["task"].tolist() == [task] * len(methods)
    environments = list(results.glob("runs/**/environment.json"))
    kept = [json.loads(path.read_text())["stamps_on_device"] for path in environments]
    assert kept == [True] * len(methods)

    # The default experiment stands beside it, untouched.
    assert "up to date" in copy.run("dvc", "status", *milestones, "record")
    assert copy.planned("all") == {}

    def planned() -> dict[str, int]:
        return {name.removeprefix(f"{task}_"): n for name, n in copy.planned(task).items()}

    assert planned() == {}
    changes, expected, untouched = CHANGES[task]
    copy.configure(task, **changes)
    jobs = planned()
    assert jobs == {**expected, **TABLES}
    assert untouched not in jobs
