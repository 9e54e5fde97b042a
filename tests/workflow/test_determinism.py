"""The same bytes and the same numbers, whatever the cores, and after a SIGKILL at any stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from dag import ENVIRONMENT, Project, new_project

pytestmark = pytest.mark.workflow

#: Two trainings suffice here: one from random weights, one that starts from the other.
SMALL = {"variants": ["asinh"], "methods": ["baseline", "transfer"]}

STAMPS = "data/**/*.h5"


def numbers(project: Project) -> dict[str, object]:
    """Everything a table is made of, run folder by run folder."""
    folder = project.folder / "results"
    found = {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.glob("runs/**/metrics.json"))
    }
    assert found
    return found


def kill_when_exists(project: Project, pattern: str) -> None:
    """Start the DAG and SIGKILL snakemake and its jobs as soon as a file matches `pattern`."""
    printed = project.folder.parent / "printed.txt"
    with printed.open("w") as file:
        process = subprocess.Popen(
            ["snakemake", "--cores", "1", "all"],
            cwd=project.folder,
            env=ENVIRONMENT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not any(project.folder.glob(pattern)):
        assert process.poll() is None, f"no file matched {pattern}:\n{printed.read_text()}"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    project.run("snakemake", "--unlock")


@pytest.fixture(scope="module")
def killed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project run on one core, killed while it simulates, trains and writes to MLflow."""
    project = new_project(repository, tmp_path_factory.mktemp("one") / "project", **SMALL)
    kill_when_exists(project, "results/logs/simulate/*")
    assert not list(project.folder.glob("results/data/variants/asinh/simulated*"))
    kill_when_exists(project, "results/checkpoints/**/state.npz")
    assert not list(project.folder.glob("results/runs/**/metrics.json"))
    kill_when_exists(project, "mlflow.db")
    assert not (project.folder / "results/tracking/manifest.csv").exists()
    project.snakemake("all", cores=1)
    return project


def test_cores_and_kills_change_no_byte_of_data_and_no_metric(finished, killed):
    two = finished.bytes_of(STAMPS)
    one = killed.bytes_of(STAMPS)
    assert len(one) >= 5
    assert {name: two[name] == one[name] for name in one} == dict.fromkeys(one, True)
    all_runs = numbers(finished)
    # Training is single-threaded and deterministic: on one machine the tolerance is zero.
    assert numbers(killed) == {name: all_runs[name] for name in numbers(killed)}


def test_after_kills_nothing_is_left_to_do_and_no_half_written_file(killed):
    assert killed.planned() == {}
    leftovers = [path.name for path in (killed.folder / "results").rglob(".*-*")]
    assert [name for name in leftovers if name.endswith((".h5", ".keras", ".csv", ".npz"))] == []


def test_sharding_changes_no_stamp(finished, repository, tmp_path):
    from galadapt.stamps.format import StampSet

    other = new_project(repository, tmp_path / "project", simulation={"shards": 3}, **SMALL)
    shards = [f"results/data/simulated/shard-{k:03d}.h5" for k in range(3)]
    other.snakemake(*shards)
    paths = sorted((finished.folder / "results/data/simulated").glob("shard-*.h5"))
    with StampSet(paths) as two, StampSet([other.folder / name for name in shards]) as three:
        assert two.table.equals(three.table)
        assert (two.images() == three.images()).all()
