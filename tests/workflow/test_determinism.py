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


@pytest.fixture(scope="module")
def one_core(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = new_project(repository, tmp_path_factory.mktemp("one") / "project", **SMALL)
    project.snakemake("all", cores=1)
    return project


def test_cores_change_no_byte_of_data_and_no_metric(finished, one_core):
    two = finished.bytes_of(STAMPS)
    one = one_core.bytes_of(STAMPS)
    assert len(one) >= 5
    assert {name: two[name] == one[name] for name in one} == dict.fromkeys(one, True)
    all_runs = numbers(finished)
    # Training is single-threaded and deterministic: on one machine the tolerance is zero.
    assert numbers(one_core) == {name: all_runs[name] for name in numbers(one_core)}


def test_sharding_changes_no_stamp(finished, repository, tmp_path):
    from galadapt.stamps.format import StampSet

    other = new_project(repository, tmp_path / "project", simulation={"shards": 3}, **SMALL)
    shards = [f"results/data/simulated/shard-{k:03d}.h5" for k in range(3)]
    other.snakemake(*shards)
    paths = sorted((finished.folder / "results/data/simulated").glob("shard-*.h5"))
    with StampSet(paths) as two, StampSet([other.folder / name for name in shards]) as three:
        assert two.table.equals(three.table)
        assert (two.images() == three.images()).all()


def kill_when(project: Project, line: str) -> None:
    """Start the DAG and SIGKILL snakemake and its jobs as soon as it prints `line`."""
    process = subprocess.Popen(
        ["snakemake", "--cores", "2", "all"],
        cwd=project.folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = []
    for text in process.stdout:
        seen.append(text)
        if line in text:
            break
    else:
        raise AssertionError(f"'{line}' was never printed:\n{''.join(seen)}")
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("stage", ["simulate", "train", "track"])
def test_sigkill_then_rerun_gives_the_same_results(one_core, tmp_path, stage):
    project = one_core.copy(tmp_path / "project")
    before, bytes_before = numbers(project), project.bytes_of(STAMPS)
    # What the stage and all after it made is taken away, as in a first run that got this far.
    patterns = {"simulate": "data/simulated/shard-*", "train": "runs/**/*.*", "track": "tracking/*"}
    for path in (project.folder / "results").glob(patterns[stage]):
        if path.is_file():
            path.unlink()
    if stage == "track":
        for path in project.folder.glob("mlflow.db*"):
            path.unlink()
    kill_when(project, {"simulate": "simulate", "train": "epoch 1/", "track": "track"}[stage])
    project.run("snakemake", "--unlock")
    project.snakemake("all")
    assert numbers(project) == before
    assert project.bytes_of(STAMPS) == bytes_before
    assert project.planned() == {}
    leftovers = [path.name for path in (project.folder / "results").rglob(".*-*")]
    assert [name for name in leftovers if name.endswith((".h5", ".keras", ".csv"))] == []
