"""`snakemake measure` on two small tiles that overlap: runs, is done, reruns what changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dag import new_project

from galadapt.general.package import RELEASED, is_general
from survey_tiles import SIDE, wcs_at, write_tile

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not is_general(RELEASED), reason="no package is released"),
]

PLANES = {"a": wcs_at(200, -3), "b": wcs_at(200.01, -3, turned=40)}


def draw(folder: Path, name: str, ra: np.ndarray, dec: np.ndarray, **changes: int) -> dict:
    places = PLANES[name].world_to_pixel_values(ra, dec)
    return write_tile(folder, name, PLANES[name], places, **changes)


def test_two_tiles(repository: Path, tmp_path: Path) -> None:
    project = new_project(repository, tmp_path / "project")
    random = np.random.default_rng(2)
    ra, dec = PLANES["a"].pixel_to_world_values(*random.uniform(-60, SIDE, (2, 40)))
    folder = project.folder / "tiles"
    folder.mkdir()
    rows = [{"name": name, **draw(folder, name, ra, dec)} for name in PLANES]
    pd.DataFrame(rows).to_csv(folder / "tiles.csv", index=False)
    pd.DataFrame({"id": np.arange(40), "ra": ra, "dec": dec}).to_parquet(folder / "list.parquet")
    project.configure(
        measure={
            "tiles": "tiles/tiles.csv",
            "catalogues": [{"path": "tiles/list.parquet"}],
            "objects_per_job": 10,
            "options": {"fast": True},
        }
    )
    project.snakemake("measure")
    results = project.folder / "results/measure"
    table = pd.read_parquet(results / "catalogue/dataset")
    lost = pd.read_parquet(results / "unmeasured.parquet")
    assert sorted([*table["id"], *lost["id"].astype(int)]) == list(range(40))
    assert set(table["tile"]) == {"a", "b"}
    assert (table["reason"] == "").mean() > 0.9
    assert json.loads((results / "counts.json").read_text())["rows"] == len(table)
    assert (results / "page.html").read_text().count("data:image/png") == 3

    assert project.planned("measure") == {}
    # Results copied from elsewhere are known by their own records.
    (project.folder / ".snakemake").rename(tmp_path / "kept")
    assert project.planned("measure") == {}
    assert not [name for name in project.planned("all") if name.startswith("measure")]

    parts = sorted((results / "parts").rglob("*.parquet"))
    assert max(len(pd.read_parquet(path)) for path in parts) <= 10
    made = {path: path.stat().st_mtime_ns for path in parts}
    draw(folder, "b", ra, dec, seed=6)
    project.snakemake("measure")
    changed = {path.parent.name for path in parts if path.stat().st_mtime_ns != made[path]}
    assert changed == {"b"}
    again = pd.read_parquet(results / "catalogue/dataset")
    same = table["tile"] == "a"
    pd.testing.assert_frame_equal(again[again["tile"] == "a"], table[same])
    assert not again["magnitude"].equals(table["magnitude"])
    assert project.planned("measure") == {}
