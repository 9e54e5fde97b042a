"""The other tasks on the same pipeline: each runs, is then done, and reruns only what changed."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml
from dag import Project

from galadapt.config.base import merge

pytestmark = pytest.mark.workflow

#: What of each task's data follows from a change, and what must stay as it is.
CHANGES = {
    "stars": (
        {"detection": {"threshold": 30.0}},
        {"star_stamps": 1, "data_figures": 1, "variant": 1},
        "star_frames",
    ),
    "screening": (
        {"variant_chains": {"contrast": [{"step": "contrast", "floor": 0.1}]}},
        {"variant": 1},
        "simulated_fields",
    ),
}
RUNS = {"train": 2, "predict": 2, "evaluate": 2, "run_figures": 2}
TABLES = {"track": 1, "comparison": 1, "comparison_figures": 1, "report": 1}


def configure(project: Project, task: str, changes: dict) -> None:
    path = project.folder / f"config/presets/{task}_smoke.yaml"
    values = merge(yaml.safe_load(path.read_text()), {task: changes})
    path.write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.mark.parametrize("task", sorted(CHANGES))
def test_a_task_runs_and_reruns_what_changed(copy: Project, task: str) -> None:
    asked = (task, "--configfile", f"config/presets/{task}_smoke.yaml")
    copy.snakemake(*asked)
    results = copy.folder / f"results/presets/{task}_smoke"
    comparison = pd.read_csv(results / "tables/comparison.csv")
    assert set(comparison["method"]) >= {"segment", "three_conv"} or task == "stars"
    page = (results / "report.html").read_text()
    assert "Where the stamps come from" in page or task == "screening"
    assert page.count("data:image/png") >= 4
    manifest = pd.read_csv(results / "tracking/manifest.csv")
    assert manifest["task"].tolist() == [task, task]

    def planned() -> dict[str, int]:
        return {name.removeprefix(f"{task}_"): n for name, n in copy.planned(*asked).items()}

    assert planned() == {}
    # The experiment of the galaxies stands beside it, untouched.
    assert copy.planned("all") == {}
    changes, data, kept = CHANGES[task]
    configure(copy, task, changes)
    jobs = planned()
    assert jobs == {**data, **RUNS, **TABLES}
    assert kept not in jobs
