from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from metric_rows import value

from galadapt.answers.numbers.settings import Evaluation
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import read_json
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.evaluate import evaluate_run


def again(folder, more=()):
    evaluate_run(
        folder / "predictions.parquet",
        folder / "embeddings.parquet",
        folder / "run.json",
        folder / "history.csv",
        {"magnitude_bins": [18, 20, 22, 23.5], "bootstrap": 50},
        folder / "metrics.json",
        folder / "breakdown.csv",
        more,
    )


def edit(path, change):
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_metrics_hold_identity_domains_splits_and_intervals(make_run):
    run = make_run(method="baseline")
    metrics = read_json(run / "metrics.json")
    assert (metrics["task"], metrics["method"], metrics["seed"]) == ("galaxies", "baseline", 1)
    simulated = value(run, "simulated", "magnitude", "r2")
    assert simulated > 0.9 > value(run, "survey", "magnitude", "r2")
    low, high = (value(run, "simulated", "magnitude", f"r2_{end}") for end in ("low", "high"))
    assert low < simulated < high
    value(run, "survey", "magnitude", "r2", "validation")
    with pytest.raises(KeyError):
        value(run, "survey", "magnitude", "r2_low", "validation")
    assert value(run, "both", "run", "separability_auc") > 0.9


def test_bins_add_up_to_the_test_split(make_run):
    bins = pd.read_csv(make_run() / "breakdown.csv")
    assert set(bins["by"]) == {"magnitude"}
    assert list(bins["level"].unique()) == ["18 to 20", "20 to 22", "22 to 23.5"]
    counts = bins[bins["metric"] == "n"]
    assert len(counts) == 2 * len(PARAMETERS) * 3
    assert counts.groupby(["domain", "item"])["value"].sum().eq(300).all()


def test_a_missing_prediction_is_counted_and_not_fatal(make_run, capsys):
    folder = make_run()

    def lose(table):
        table.loc[0, "magnitude_predicted"] = np.nan
        return table

    edit(folder / "predictions.parquet", lose)
    again(folder)
    assert value(folder, "simulated", "magnitude", "failed") == 1
    assert value(folder, "simulated", "magnitude", "n") == 300
    assert "1 test objects have no finite prediction" in capsys.readouterr().err


def test_galaxies_outside_the_bins_are_said(make_run, capsys):
    folder = make_run(evaluate=False)

    def brighten(table):
        table.loc[0, "magnitude_true"] = 15.0
        return table

    edit(folder / "predictions.parquet", brighten)
    again(folder)
    assert "1 of 300 simulated test objects lie outside" in capsys.readouterr().err


def test_repeated_evaluation_gives_the_same_bytes(make_run):
    folder = make_run()
    before = (folder / "metrics.json").read_bytes()
    again(folder)
    assert (folder / "metrics.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="magnitude_true"), "lacks the column.*magnitude_tr"),
        (lambda t: t.iloc[:0], "holds no prediction"),
        (lambda t: t.assign(split="train"), "no labelled row of split 'test'"),
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


def test_an_unknown_further_table_is_refused(make_run, tmp_path):
    folder = make_run(evaluate=False)
    with pytest.raises(ConfigError, match="no table is called 'votes"):
        again(folder, [folder / "votes.csv"])


def test_run_json_without_its_method_is_refused(make_run):
    folder = make_run(evaluate=False)
    (folder / "run.json").write_text(json.dumps({"task": "galaxies", "variant": "a", "seed": 1}))
    with pytest.raises(DataError, match=r"run\.json: lacks the key 'method'; rerun the training"):
        again(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"magnitude_bins": [18, 18]}, "edges must increase"),
        ({"outlier": {"colour": 1.0}}, "no quantity 'colour'; known: magnitude, effective_radius"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(**values)
