from __future__ import annotations

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.plots import style
from galadapt.prediction import coverage
from galadapt.prediction.coverage import LEVELS, Galaxies, coverage_figures, shares
from galadapt.prediction.intervals import Intervals

KINDS = ("predicted", "true", "spread")


def galaxies(count, width, seed):
    """True values with Gaussian prediction errors, one (n, 4) array per kind."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(1, 5, (count, 4))
    predicted = true + width * rng.standard_normal(true.shape)
    return {"predicted": predicted, "true": true, "spread": np.full(true.shape, 1e-3)}


def columns(values, kinds=KINDS):
    return pd.DataFrame(
        {
            f"{name}_{kind}": values[kind][:, k]
            for kind in kinds
            for k, name in enumerate(PARAMETERS)
        }
    )


@pytest.fixture
def package(tmp_path):
    reference = columns(galaxies(400, 0.2, 1))
    reference.insert(0, "domain", "survey")
    reference.to_parquet(tmp_path / "reference.parquet")
    record = {"name": "galaxies/x/y", "parameters": PARAMETERS, "reference_domains": ["survey"]}
    (tmp_path / "package.json").write_text(json.dumps(record))
    paths = []
    for seed in (1, 2):
        tables = []
        for number, domain in enumerate(("simulated", "survey")):
            values = galaxies(300, 0.2, 10 + number)
            values["predicted"] = values["predicted"] + 0.01 * seed
            table = columns(values, KINDS[:2])
            table.insert(0, "id", np.arange(len(table)))
            table.insert(1, "domain", domain)
            table.insert(2, "split", "test")
            tables.append(table)
        paths.append(tmp_path / f"predictions{seed}.parquet")
        pd.concat(tables).to_parquet(paths[-1], index=False)
    return {
        "package": tmp_path / "package.json",
        "reference": tmp_path / "reference.parquet",
        "predictions": paths,
        "curve": tmp_path / "coverage.png",
        "scatter": tmp_path / "predicted_with_errors.png",
    }


def test_the_curve_follows_what_errors_promise_and_falls_where_they_do_not_hold():
    reference = galaxies(800, 0.2, 1)
    intervals = Intervals(PARAMETERS, *(reference[kind] for kind in KINDS))

    def of(width):
        values = galaxies(800, width, 2)
        return shares(intervals, Galaxies(values["true"], values["predicted"], values["spread"]))

    honest, worse = of(0.2), of(0.4)
    assert honest.shape == (len(LEVELS), 4)
    assert np.abs(honest - np.array(LEVELS)[:, None]).max() < 0.06
    middle = LEVELS.index(0.7)
    assert (worse[middle] < honest[middle] - 0.15).all()


def test_figures_repeat_byte_for_byte_and_follow_the_predictions(package):
    coverage_figures(**package)
    first = [package[name].read_bytes() for name in ("curve", "scatter")]
    assert (imread(package["curve"])[..., :3].min(axis=2) < 0.95).mean() > 0.01
    coverage_figures(**package)
    assert [package[name].read_bytes() for name in ("curve", "scatter")] == first
    for path in package["predictions"]:
        table = pd.read_parquet(path)
        table.loc[table["domain"] == "survey", "magnitude_predicted"] += 3.0
        table.to_parquet(path, index=False)
    coverage_figures(**package)
    assert package["curve"].read_bytes() != first[0]
    assert package["scatter"].read_bytes() != first[1]


def test_no_outlier_lies_outside_its_panel_or_behind_text(package, monkeypatch):
    drawn = []

    @contextlib.contextmanager
    def watched(*arguments):
        with style.drawing(*arguments) as (figure, axes):
            yield figure, axes
            drawn.append([(panel.get_ylim(), list(panel.texts)) for panel in axes.flat])

    monkeypatch.setattr(coverage, "drawing", watched)
    for path in package["predictions"]:
        table = pd.read_parquet(path)
        table.loc[len(table) - 1, "effective_radius_predicted"] = 60.0
        table.to_parquet(path, index=False)
    coverage.coverage_figures(**package)
    (low, high), texts = drawn[1][PARAMETERS.index("effective_radius")]
    assert low < 1
    assert high > 60
    assert texts == []


def test_failed_predictions_and_an_unlabelled_survey_are_still_drawn(package):
    for path in package["predictions"]:
        table = pd.read_parquet(path)
        table.loc[table.index[:5], "magnitude_predicted"] = np.nan
        survey = table["domain"] == "survey"
        table.loc[survey, [f"{name}_true" for name in PARAMETERS]] = np.nan
        table.to_parquet(path, index=False)
    coverage_figures(**package)
    assert package["scatter"].exists()


def test_broken_inputs_are_one_sentence_and_draw_nothing(package):
    with pytest.raises(DataError, match="no predictions to draw; name the predictions"):
        coverage_figures(**{**package, "predictions": []})
    path = package["predictions"][1]
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)
    with pytest.raises(DataError, match=r"predictions2\.parquet: other test galaxies than in"):
        coverage_figures(**package)
    table = pd.read_parquet(package["reference"])
    table.assign(domain="simulated").to_parquet(package["reference"])
    with pytest.raises(DataError, match=r"reference\.parquet: 0 survey galaxies are too few"):
        coverage_figures(**package)
    package["package"].write_text("{}")
    with pytest.raises(DataError, match=r"package\.json: lacks 'name'; rerun the stage"):
        coverage_figures(**package)
    assert not package["curve"].exists()
    assert not package["scatter"].exists()
