from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from class_runs import GROUPING, fabricate_class_run, judge_class_run
from metric_rows import domains, value

from galadapt.answers.classes.settings import ClassEvaluation
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


#: The classes of the fabricated stars, as an item of metrics.
STARS = "circular/comet/donut"


def part(folder, level, by="class"):
    """Return the figures of one part of the test set."""
    table = pd.read_csv(folder / "breakdown.csv", dtype={"level": str})
    rows = table[(table["by"] == by) & (table["level"] == level)]
    return dict(zip(rows["metric"], rows["value"], strict=True))


def test_metrics_hold_identity_splits_votes_and_intervals(tmp_path):
    folder = fabricate_class_run(tmp_path, method="network_a")
    metrics = read_json(folder / "metrics.json")
    assert (metrics["task"], metrics["method"], metrics["seed"]) == ("stars", "network_a", 1)
    assert metrics["kind"] == "classes"
    # The first epoch compiles: its 30 s must not count.
    assert value(folder, "both", "run", "seconds_per_epoch") == pytest.approx(2.1)
    assert {row["split"] for row in metrics["rows"]} == {"train", "validation", "test"}
    test = {row["metric"]: row["value"] for row in metrics["rows"] if row["split"] == "test"}
    assert test["accuracy_low"] <= test["accuracy"] <= test["accuracy_high"]
    with pytest.raises(KeyError):
        value(folder, "simulated", STARS, "accuracy_low", "validation")
    assert test["vote_n"] == test["groups"] == 13
    assert test["vote_accuracy"] > test["accuracy"]
    assert part(folder, "donut")["groups"] == 2
    assert test["shared_groups"] == 0
    assert test["separability_auc"] is None


def test_both_domains_give_a_separability(tmp_path):
    folder = fabricate_class_run(tmp_path, domains=("simulated", "survey"))
    assert value(folder, "both", "run", "separability_auc") > 0.8
    simulated, survey = (value(folder, d, STARS, "accuracy") for d in ("simulated", "survey"))
    assert simulated > survey


def test_errors_are_given_per_label_before_grouping(tmp_path):
    folder = fabricate_class_run(tmp_path, "screening", method="kernel3")
    table = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    twos = table[table["label_original"] == "2"]
    found = part(folder, "2", "label")
    assert found["error"] == pytest.approx((twos["p_good"] > 0.5).mean())
    assert found["n"] == 58
    parts = pd.read_csv(folder / "breakdown.csv", dtype={"level": str}).query("by == 'label'")
    assert list(parts["level"].unique()) == ["0", "1", "2", "3", "4"]
    assert set(parts["item"]) == {"good/bad"}
    with pytest.raises(KeyError):
        value(folder, "simulated", "good/bad", "vote_n")


def test_finer_classes_are_judged_in_the_coarser_too(tmp_path):
    evaluation = ClassEvaluation(bootstrap=50, grouping=GROUPING)
    folder = fabricate_class_run(tmp_path, "screening", method="ordinal", evaluation=evaluation)
    table = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    bad = table[[f"p_{name}" for name in GROUPING["bad"]]].sum(axis=1) > 0.5
    truth = table["label_original"].isin(GROUPING["bad"])
    accuracy = value(folder, "simulated", "good/bad", "accuracy")
    assert accuracy == pytest.approx((bad == truth).mean())
    low, auc = (value(folder, "simulated", "good/bad", name) for name in ("auc_low", "auc"))
    assert low < auc
    # No test observation has class 5: its figures are undefined, and nothing breaks.
    five = part(folder, "5")
    assert (five["n"], five["groups"]) == (0, 0)
    assert all(np.isnan(five[name]) for name in ("recall", "precision", "f1", "auc"))
    items = set(pd.read_csv(folder / "breakdown.csv")["item"])
    assert items == {"0/1/2/3/4/5", "good/bad"}


def test_a_grouping_of_other_classes_is_not_applied(tmp_path):
    evaluation = ClassEvaluation(bootstrap=50, grouping=GROUPING)
    folder = fabricate_class_run(tmp_path, "screening", method="kernel3", evaluation=evaluation)
    rows = read_json(folder / "metrics.json")["rows"]
    assert {row["item"] for row in rows} == {"good/bad", "run"}


def test_groups_in_several_splits_are_counted_and_reported(tmp_path, capsys):
    folder = fabricate_class_run(tmp_path, method="network_b_leaking")
    shared, groups = (
        value(folder, "simulated", STARS, name) for name in ("shared_groups", "groups")
    )
    assert shared > 0.8 * groups
    assert (
        "also occur in other splits: these figures do not hold for new ones"
        in capsys.readouterr().err
    )


def test_unlabelled_rows_count_nowhere(tmp_path):
    folder = fabricate_class_run(tmp_path, domains=("simulated", "survey"))
    before = value(folder, "simulated", STARS, "n")

    def strip(table):
        table.loc[table["domain"] == "survey", ["label_true", "label_original"]] = ""
        test = table.index[(table["domain"] == "simulated") & (table["split"] == "test")]
        table.loc[test[0], ["label_true", "label_original"]] = None
        return table

    edit(folder, strip)
    assert domains(folder) == {"simulated"}
    assert value(folder, "simulated", STARS, "n") == before - 1
    assert value(folder, "simulated", STARS, "unlabelled") == 1
    assert value(folder, "both", "run", "separability_auc") > 0.8


def test_a_failed_prediction_is_counted_and_said(tmp_path, capsys):
    folder = fabricate_class_run(tmp_path)

    def lose(table):
        table.loc[table["split"] == "test", "p_comet"] = np.nan
        return table

    edit(folder, lose)
    n, failed = (value(folder, "simulated", STARS, name) for name in ("n", "failed"))
    assert failed == n
    assert value(folder, "simulated", STARS, "accuracy") is None
    assert value(folder, "simulated", STARS, "vote_failed") == 13
    assert "simulated test stamps have no finite prediction" in capsys.readouterr().err


def test_the_order_of_rows_does_not_matter(tmp_path):
    folder = fabricate_class_run(tmp_path)
    before = (folder / "metrics.json").read_bytes(), (folder / "breakdown.csv").read_bytes()
    path = folder / "predictions.parquet"
    pd.read_parquet(path).sample(frac=1, random_state=3).to_parquet(path, index=False)
    judge_class_run(folder)
    after = (folder / "metrics.json").read_bytes(), (folder / "breakdown.csv").read_bytes()
    assert before == after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="group"), "lacks the column.*group'; rerun"),
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
    assert value(folder, "both", "run", "seconds_per_epoch") is None


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
