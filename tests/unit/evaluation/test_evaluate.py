from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from galadapt.core.errors import DataError
from galadapt.core.files import read_json
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.evaluate import evaluate_run
from galadapt.tasks.galaxies.settings import Evaluation


def again(folder):
    evaluate_run(
        folder / "predictions.parquet",
        folder / "embeddings.parquet",
        folder / "run.json",
        Evaluation(magnitude_bins=[18, 20, 22, 23.5], bootstrap=50),
        folder / "metrics.json",
        folder / "metrics_by_magnitude.csv",
    )


def edit(path, change):
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_metrics_hold_identity_domains_splits_and_intervals(make_run):
    metrics = read_json(make_run(method="baseline") / "metrics.json")
    assert (metrics["task"], metrics["method"], metrics["seed"]) == ("galaxies", "baseline", 1)
    simulated = metrics["domains"]["simulated"]["test"]["magnitude"]
    survey = metrics["domains"]["survey"]["test"]["magnitude"]
    assert simulated["r2"] > 0.9 > survey["r2"]
    assert simulated["r2_low"] < simulated["r2"] < simulated["r2_high"]
    assert "r2_low" not in metrics["domains"]["survey"]["validation"]["magnitude"]
    assert metrics["separability"]["auc"] > 0.9


def test_bins_add_up_to_the_test_split(make_run):
    folder = make_run()
    bins = pd.read_csv(folder / "metrics_by_magnitude.csv")
    assert len(bins) == 2 * len(PARAMETERS) * 3
    assert bins.groupby(["domain", "parameter"])["n"].sum().eq(300).all()


def test_a_missing_prediction_is_counted_and_not_fatal(make_run, capsys):
    folder = make_run()

    def lose(table):
        table.loc[0, "magnitude_predicted"] = np.nan
        return table

    edit(folder / "predictions.parquet", lose)
    again(folder)
    magnitude = read_json(folder / "metrics.json")["domains"]["simulated"]["test"]["magnitude"]
    assert magnitude["failed"] == 1
    assert magnitude["n"] == 300
    assert "1 test galaxies have no finite prediction" in capsys.readouterr().err


def test_galaxies_outside_the_bins_are_said(make_run, capsys):
    folder = make_run(evaluate=False)

    def brighten(table):
        table.loc[0, "magnitude_true"] = 15.0
        return table

    edit(folder / "predictions.parquet", brighten)
    again(folder)
    assert "1 of 300 simulated test galaxies lie outside" in capsys.readouterr().err


def test_repeated_evaluation_gives_the_same_bytes(make_run):
    folder = make_run()
    before = (folder / "metrics.json").read_bytes()
    again(folder)
    assert (folder / "metrics.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="magnitude_true"), "lack the column.*magnitude_tr"),
        (lambda t: t.iloc[:0], "holds no prediction"),
        (lambda t: t.assign(split="train"), "no row of split 'test'"),
        (lambda t: t.assign(sersic_index_true=0.0), "sersic_index_true of id 0 is 0"),
    ],
)
def test_broken_predictions_are_refused_before_anything_is_written(make_run, change, message):
    folder = make_run(evaluate=False)
    edit(folder / "predictions.parquet", change)
    with pytest.raises(DataError, match=message):
        again(folder)
    assert not (folder / "metrics.json").exists()


def test_embeddings_without_features_are_refused(make_run):
    folder = make_run(evaluate=False)
    pd.DataFrame({"id": [1], "domain": ["survey"], "split": ["test"]}).to_parquet(
        folder / "embeddings.parquet"
    )
    with pytest.raises(DataError, match="embeddings need the columns domain, split and f000"):
        again(folder)


def test_run_json_without_its_method_is_refused(make_run):
    folder = make_run(evaluate=False)
    (folder / "run.json").write_text(json.dumps({"task": "galaxies", "variant": "a", "seed": 1}))
    with pytest.raises(DataError, match=r"run\.json: lacks method; rerun the training"):
        again(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"magnitude_bins": [18, 18]}, "edges must increase"),
        ({"outlier": {"magnitude": 1.0}}, "must name exactly magnitude, effective_radius"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(**values)
