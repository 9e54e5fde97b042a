from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from class_runs import GROUPING, fabricate_class_run, judge_class_run

from galadapt.config.classes import ClassEvaluation
from galadapt.core.errors import DataError
from galadapt.core.files import read_json


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def edit(folder, change):
    path = folder / "predictions.parquet"
    table = pd.read_parquet(path)
    change(table).to_parquet(path, index=False)
    judge_class_run(folder)
    return read_json(folder / "metrics.json")


def test_metrics_hold_identity_splits_votes_and_intervals(tmp_path):
    folder = fabricate_class_run(tmp_path, method="network_a")
    metrics = read_json(folder / "metrics.json")
    assert (metrics["task"], metrics["method"], metrics["seed"]) == ("stars", "network_a", 1)
    assert metrics["class_names"] == ["circular", "comet", "donut"]
    # The first epoch compiles: its 30 s must not count.
    assert metrics["seconds_per_epoch"] == pytest.approx(2.1)
    splits = metrics["domains"]["simulated"]
    assert set(splits) == {"train", "validation", "test"}
    test = splits["test"]
    assert test["accuracy_low"] <= test["accuracy"] <= test["accuracy_high"]
    assert "accuracy_low" not in splits["validation"]
    assert test["vote"]["n"] == test["groups"] == 13
    assert test["vote"]["accuracy"] > test["accuracy"]
    assert test["classes"]["donut"]["groups"] == 2
    assert test["shared_groups"] == 0
    assert sum(map(sum, test["confusion"])) == test["n"]
    assert metrics["separability"]["auc"] is None


def test_both_domains_give_a_separability(tmp_path):
    folder = fabricate_class_run(tmp_path, domains=("simulated", "survey"))
    metrics = read_json(folder / "metrics.json")
    assert metrics["separability"]["auc"] > 0.8
    domains = metrics["domains"]
    assert domains["simulated"]["test"]["accuracy"] > domains["survey"]["test"]["accuracy"]


def test_errors_are_told_per_class_before_grouping(tmp_path):
    folder = fabricate_class_run(tmp_path, "screening", method="kernel3")
    test = read_json(folder / "metrics.json")["domains"]["simulated"]["test"]
    table = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    twos = table[table["label_original"] == "2"]
    assert test["original"]["2"]["error"] == pytest.approx((twos["p_good"] > 0.5).mean())
    assert list(test["original"]) == ["0", "1", "2", "3", "4"]
    assert test["vote"] is None
    detail = pd.read_csv(folder / "metrics_by_class.csv", dtype={"class": str})
    row = detail.query("kind == 'original' and `class` == '2'").iloc[0]
    assert (row["n"], row["classes"]) == (58, "good/bad")
    assert row["error"] == pytest.approx(test["original"]["2"]["error"])


def test_finer_classes_are_judged_in_the_coarser_too(tmp_path):
    evaluation = ClassEvaluation(bootstrap=50, grouping=GROUPING)
    folder = fabricate_class_run(tmp_path, "screening", method="ordinal", evaluation=evaluation)
    test = read_json(folder / "metrics.json")["domains"]["simulated"]["test"]
    table = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    bad = table[[f"p_{name}" for name in GROUPING["bad"]]].sum(axis=1) > 0.5
    truth = table["label_original"].isin(GROUPING["bad"])
    assert test["grouped"]["accuracy"] == pytest.approx((bad == truth).mean())
    assert test["grouped"]["class_names"] == ["good", "bad"]
    assert test["grouped"]["auc_low"] < test["grouped"]["auc"]
    # No test observation has class 5: nothing is said of it, and nothing breaks.
    assert test["classes"]["5"] == {
        "n": 0,
        "groups": 0,
        "recall": None,
        "precision": None,
        "f1": None,
        "auc": None,
    }
    detail = pd.read_csv(folder / "metrics_by_class.csv")
    assert set(detail["classes"]) == {"0/1/2/3/4/5", "good/bad"}


def test_a_grouping_of_other_classes_is_not_applied(tmp_path):
    evaluation = ClassEvaluation(bootstrap=50, grouping=GROUPING)
    folder = fabricate_class_run(tmp_path, "screening", method="kernel3", evaluation=evaluation)
    assert "grouped" not in read_json(folder / "metrics.json")["domains"]["simulated"]["test"]


def test_groups_in_several_splits_are_counted_and_said(tmp_path, capsys):
    folder = fabricate_class_run(tmp_path, method="network_b_leaking")
    test = read_json(folder / "metrics.json")["domains"]["simulated"]["test"]
    assert test["shared_groups"] > 0.8 * test["groups"]
    assert (
        "also occur in other splits: these figures do not hold for new ones"
        in capsys.readouterr().err
    )


def test_unlabelled_rows_count_nowhere(tmp_path):
    folder = fabricate_class_run(tmp_path, domains=("simulated", "survey"))
    before = read_json(folder / "metrics.json")["domains"]["simulated"]["test"]

    def strip(table):
        table.loc[table["domain"] == "survey", ["label_true", "label_original"]] = ""
        test = table.index[(table["domain"] == "simulated") & (table["split"] == "test")]
        table.loc[test[0], ["label_true", "label_original"]] = None
        return table

    metrics = edit(folder, strip)
    assert set(metrics["domains"]) == {"simulated"}
    test = metrics["domains"]["simulated"]["test"]
    assert (test["n"], test["unlabelled"]) == (before["n"] - 1, 1)
    assert metrics["separability"]["auc"] > 0.8


def test_a_failed_prediction_is_counted_and_said(tmp_path, capsys):
    folder = fabricate_class_run(tmp_path)

    def lose(table):
        table.loc[table["split"] == "test", "p_comet"] = np.nan
        return table

    test = edit(folder, lose)["domains"]["simulated"]["test"]
    assert test["failed"] == test["n"]
    assert test["accuracy"] is None
    assert test["vote"]["failed"] == 13
    assert "simulated test stamps have no finite prediction" in capsys.readouterr().err


def test_the_order_of_rows_does_not_matter(tmp_path):
    folder = fabricate_class_run(tmp_path)
    before = (folder / "metrics.json").read_bytes(), (folder / "metrics_by_class.csv").read_bytes()
    path = folder / "predictions.parquet"
    pd.read_parquet(path).sample(frac=1, random_state=3).to_parquet(path, index=False)
    judge_class_run(folder)
    after = (folder / "metrics.json").read_bytes(), (folder / "metrics_by_class.csv").read_bytes()
    assert before == after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="group"), "lack the column.*group; rerun"),
        (
            lambda t: t.drop(columns=["p_comet", "p_donut"]),
            "p_<class> of at least two classes",
        ),
        (lambda t: t[:0], "holds no prediction"),
        (
            lambda t: t.assign(label_true="banana"),
            "label_true 'banana' is none of the predicted classes circular, comet, donut",
        ),
        (lambda t: t.assign(p_comet=t["p_comet"] + 0.5), "id 0 are negative or do not add"),
        (lambda t: t.assign(label_true=""), "holds no labelled row of split 'test'"),
        (lambda t: t.assign(split="train"), "holds no labelled row of split 'test'"),
    ],
)
def test_broken_predictions_are_refused_before_anything_is_written(tmp_path, change, message):
    folder = fabricate_class_run(tmp_path)
    (folder / "metrics.json").unlink()
    with pytest.raises(DataError, match=message):
        edit(folder, change)
    assert not (folder / "metrics.json").exists()


def test_a_history_without_seconds_gives_none(tmp_path):
    folder = fabricate_class_run(tmp_path)
    pd.DataFrame({"epoch": [1], "loss": [0.5]}).to_csv(folder / "history.csv", index=False)
    judge_class_run(folder)
    assert read_json(folder / "metrics.json")["seconds_per_epoch"] is None


@pytest.mark.parametrize(
    ("grouping", "message"),
    [
        ({"all": ["0", "1"]}, "at least two groups"),
        ({"good": ["0"], "bad": []}, "each with at least one class"),
        ({"good": ["0", "1"], "bad": ["1"]}, "class 1 stands in two groups"),
    ],
)
def test_an_impossible_grouping_is_refused(grouping, message):
    with pytest.raises(ValueError, match=message):
        ClassEvaluation(grouping=grouping)
