"""Snakemake computes, DVC versions: neither does again what the other has done."""

from __future__ import annotations

import json

import pytest
import yaml
from dag import MILESTONES

from galadapt.tasks import registry

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def committed(finished, tmp_path_factory):
    """A finished project whose results DVC has taken over, pushed to a folder as remote."""
    folder = tmp_path_factory.mktemp("dvc")
    project = finished.copy(folder / "project")
    project.run("dvc", "commit", "--force", "--quiet", *MILESTONES)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "results")
    project.run("dvc", "remote", "add", "--default", "storage", str(folder / "remote"))
    project.run("git", "commit", "-qam", "remote")
    project.run("dvc", "push", "--quiet")
    return project


@pytest.fixture
def project(committed, tmp_path):
    return committed.copy(tmp_path / "project")


def test_status_is_clean_after_commit(committed):
    assert "up to date" in committed.run("dvc", "status", *MILESTONES)
    assert committed.run("git", "status", "--porcelain") == ""
    # Plain `dvc status` names the milestones of the tasks that were never run, and no other.
    status = json.loads(committed.run("dvc", "status", "--json"))
    others = [task for task in registry.TASKS if task != registry.DEFAULT]
    assert set(status) == {f"{task}_{name}" for task in others for name in MILESTONES[:3]}


def test_every_durable_output_of_every_task_is_an_output_of_dvc(committed):
    others = [task for task in registry.TASKS if task != registry.DEFAULT]
    text = committed.run("snakemake", "--summary", "all", *others)
    made = [line.split("\t")[0] for line in text.splitlines() if line.startswith("results/")]
    assert {path.split("/")[1] for path in made} >= {"runs", "report.html", *others}
    stages = yaml.safe_load((committed.folder / "dvc.yaml").read_text())["stages"].values()
    outputs = tuple(
        path for stage in stages for out in stage["outs"] + stage.get("metrics", []) for path in out
    )
    missing = [path for path in made if not f"{path}/".startswith(tuple(f"{o}/" for o in outputs))]
    assert missing == []


def test_repro_after_snakemake_computes_nothing(project):
    text = project.run("dvc", "repro", "tables")
    assert text.count("didn't change, skipping") == 3
    assert "Running stage" not in text


def test_one_change_redoes_only_what_it_affects_and_can_be_taken_back(project):
    names = ("network.keras", "predictions.parquet")
    before = {name: project.bytes_of(f"runs/**/{name}") for name in names}
    project.configure(method_settings={"transfer": {"learning_rate": 3.0e-4}})
    assert project.planned()["train"] == 2
    text = project.run("dvc", "repro", "tables")
    project.run("dvc", "repro", "record")
    assert "Running stage 'models'" in text
    for name in names:
        after = project.bytes_of(f"runs/**/{name}")
        changed = {path for path in after if before[name][path] != after[path]}
        assert changed == {path for path in after if "/transfer/" in path}
    assert project.planned() == {}
    assert "up to date" in project.run("dvc", "status", *MILESTONES)
    difference = project.run("dvc", "params", "diff", "HEAD")
    assert "method_settings.transfer.learning_rate" in difference
    # Back to the old state: there is nothing to do either.
    project.run("git", "commit", "-qam", "changed")
    project.run("git", "checkout", "-q", "HEAD~1")
    project.run("dvc", "checkout", "--quiet", "--allow-missing")
    assert project.planned() == {}


def test_clone_and_pull_has_nothing_to_do(committed, tmp_path):
    clone = type(committed)(tmp_path / "clone")
    committed.run("git", "clone", "-q", str(committed.folder), str(clone.folder))
    clone.run("dvc", "pull", "--quiet", "--allow-missing")
    assert clone.planned() == {}
    clone.configure(method_settings={"transfer": {"learning_rate": 3.0e-4}})
    assert clone.planned()["train"] == 2
    assert "variant" not in clone.planned()


def test_metrics_params_and_plots_say_something(committed):
    metrics = json.loads(committed.run("dvc", "metrics", "show", "results/metrics", "--json"))
    text = json.dumps(metrics)
    assert "dann_semisupervised" in text
    assert "effective_radius" in text
    committed.run("dvc", "plots", "show", "--out", "plots_out")
    page = (committed.folder / "plots_out" / "index.html").read_text()
    assert "effective_radius" in page
