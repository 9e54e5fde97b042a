"""Pruning: only what the experiment does not name is listed, and only then removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from galadapt.cli import main
from galadapt.tasks.prune import stale
from galadapt.tasks.reading import load


@pytest.fixture
def results(tmp_path: Path, monkeypatch, repository: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    names = [
        "runs/galaxies/asinh/baseline/seed1/run.json",
        "runs/galaxies/asinh/baseline/seed9/run.json",
        "runs/galaxies/asinh/gone/seed1/run.json",
        "models/galaxies/asinh/baseline/member-1.onnx",
        "models/galaxies/asinh/baseline/member-4.onnx",
        "models/galaxies/asinh/gone/package.json",
        "data/variants/asinh/survey.h5",
        "data/variants/gone/survey.h5",
        "data/simulated/shard-000.h5",
        "data/simulated/shard-099.h5",
        "figures/stamps.png",
        "figures/gone/feature_maps.png",
        "tables/gone/feature_space.csv",
        "metrics/asinh.baseline.json",
        "metrics/asinh.gone.json",
        "measure/parts/a/7-0.parquet",
        "measure/parts/a/7-1.parquet",
        "measure/costs/b/7-0.json",
    ]
    for name in names:
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    plan = tmp_path / "results/measure/plan/jobs.csv"
    plan.parent.mkdir()
    plan.write_text("tile,cell,part,objects\na,7,0,10\n")
    return tmp_path / "results"


STALE = [
    "data/simulated/shard-099.h5",
    "data/variants/gone",
    "figures/gone",
    "measure/costs/b/7-0.json",
    "measure/parts/a/7-1.parquet",
    "metrics/asinh.gone.json",
    "models/galaxies/asinh/baseline/member-4.onnx",
    "models/galaxies/asinh/gone",
    "runs/galaxies/asinh/baseline/seed9",
    "runs/galaxies/asinh/gone",
    "tables/gone",
]


def test_only_what_is_not_named_is_stale(results, repository):
    found = stale(results, load(repository / "config" / "config.yaml"))
    assert [str(path.relative_to(results)) for path in found] == STALE


def test_nothing_is_removed_unless_asked(results, repository, capsys):
    config = str(repository / "config" / "config.yaml")
    before = sorted(results.rglob("*"))
    assert main(["prune", config]) == 0
    assert sorted(results.rglob("*")) == before
    assert "11 results of earlier experiments" in capsys.readouterr().out
    assert main(["prune", "--delete", config]) == 0
    assert not [name for name in STALE if (results / name).exists()]
    assert (results / "runs/galaxies/asinh/baseline/seed1/run.json").exists()
    assert (results / "figures/stamps.png").exists()


def test_links_to_another_disk_are_pruned_there(results, repository, tmp_path, capsys):
    other = tmp_path / "other disk"
    other.mkdir()
    for name in ("runs/galaxies/asinh/gone", "data/variants/gone"):
        moved = other / name.replace("/", "-")
        (results / name).rename(moved)
        (results / name).symlink_to(moved)
    shard = results / "data/simulated/shard-099.h5"
    shard.rename(other / "kept.h5")
    shard.symlink_to(other / "kept.h5")
    (results / "metrics/asinh.dangling.json").symlink_to(other / "nothing")
    assert main(["prune", str(repository / "config/config.yaml"), "--delete"]) == 0
    assert [path.name for path in other.iterdir()] == ["kept.h5"]
    assert f"{shard.relative_to(tmp_path)}: was a link; {other / 'kept.h5'} stays" in (
        capsys.readouterr().err
    )
    assert stale(results, load(repository / "config/config.yaml")) == []
    assert not shard.is_symlink()
