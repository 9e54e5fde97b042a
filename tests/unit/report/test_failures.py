"""Where measurements fail: the parts with the largest scatter, and galaxies that all get wrong."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from galadapt.core.extraction_flags import Flag
from galadapt.core.quantity import SERSIC
from galadapt.report.failures import failures
from galadapt.stamps.format import write_stamps

COUNT = 90


@pytest.fixture
def runs(tmp_path):
    """Two methods; the scatter in magnitude grows with magnitude, and object 7 is wrong in both."""
    rng = np.random.default_rng(1)
    true = {
        "magnitude": np.linspace(18, 23, COUNT),
        "effective_radius": rng.uniform(2, 10, COUNT),
        "sersic_index": rng.uniform(1, 4, COUNT),
        "ellipticity": rng.uniform(0.1, 0.6, COUNT),
    }
    folders = []
    for method, quality in (("baseline", 2.0), ("transfer", 1.0)):
        for seed in (1, 2):
            table = {"id": np.arange(COUNT), "domain": "survey", "split": "test"}
            for name, values in true.items():
                scatter = 0.01 * quality * (1 + 5 * (true["magnitude"] > 21.3))
                table[f"{name}_true"] = values
                table[f"{name}_predicted"] = values + scatter * rng.normal(size=COUNT)
            table["magnitude_predicted"][7] += 2.0
            folder = tmp_path / method / f"seed{seed}"
            folder.mkdir(parents=True)
            pd.DataFrame(table).to_parquet(folder / "predictions.parquet")
            answer = {"kind": "numbers", "quantities": [one.to_dict() for one in SERSIC]}
            record = {"method": method, "variant": "asinh", "answer": answer}
            (folder / "run.json").write_text(json.dumps(record))
            folders.append(folder)
    return folders


@pytest.fixture
def survey(tmp_path):
    table = pd.DataFrame({"id": np.arange(COUNT), "split": "test"})
    table["extraction_flags"] = np.where(table["id"] % 3 == 0, int(Flag.NEIGHBOUR), 0)
    metadata = {"pixel_scale": 0.06, "zero_point": 25.0, "band": "F160W", "domain": "survey"}
    images = np.zeros((COUNT, 8, 8), np.float32)
    write_stamps(tmp_path / "stamps.h5", [images], table, metadata)
    return [tmp_path / "stamps.h5"]


def test_the_faint_part_and_the_shared_outlier_are_named(runs, survey):
    found = failures(runs, survey, 0.06)
    assert found is not None
    assert found.method == "transfer (asinh)"
    text = " ".join(found.sentences)
    assert "By magnitude:" in text
    assert "for 21.3 to 23.0 mag" in text
    assert found.shared.to_numpy().tolist()[0][:3] == ["7", "magnitude [mag]", "18.39"]
    assert "1 of 90 galaxies are outliers of the same quantity in all 2 methods (id 7)" in text
    assert "Without them, R² of the magnitude would be 1.000 instead of 0.9" in text
    radii = found.parts[found.parts["by"] == "effective radius"]["part"]
    assert all("arcsec)" in part for part in radii)
    crowded = found.parts[found.parts["by"] == "neighbours"]
    assert crowded["galaxies"].tolist() == [60, 30]
    assert found.parts["galaxies"].sum() == 3 * COUNT


def test_without_a_survey_test_set_there_is_nothing_to_say(runs):
    for run in runs:
        table = pd.read_parquet(run / "predictions.parquet").assign(domain="simulated")
        table.to_parquet(run / "predictions.parquet")
    assert failures(runs, [], 0.06) is None


def test_classes_have_other_figures(runs):
    record = json.loads((runs[0] / "run.json").read_text()) | {"answer": {"kind": "classes"}}
    (runs[0] / "run.json").write_text(json.dumps(record))
    assert failures(runs, [], None) is None
