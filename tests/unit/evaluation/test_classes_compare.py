from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from class_runs import GROUPING, fabricate_class_run
from comparing import compared
from metric_rows import value

from galadapt.answers.classes.settings import ClassEvaluation
from galadapt.answers.published import beside, read_published
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, read_table
from galadapt.evaluation.compare import COLUMNS
from galadapt.tasks.registry import task


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def write(runs, of_task, folder):
    return compared(runs, folder, of_task)


def published_classes(of_task):
    return read_published(task(of_task).words.published)


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stars")
    return [
        fabricate_class_run(folder / method / str(seed), method=method, seed=seed)
        for method in ("network_a", "network_b", "network_b_leaking")
        for seed in (1, 2)
    ]


@pytest.fixture(scope="module")
def screening(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screening")
    evaluation = ClassEvaluation(bootstrap=50, grouping=GROUPING)
    return [
        fabricate_class_run(
            folder / variant / method, "screening", variant, method, 1, evaluation=evaluation
        )
        for variant, method in (
            ("none", "kernel3"),
            ("none", "two_conv"),
            ("minmax_sqrt", "dropout2"),
            ("minmax_sqrt", "two_conv"),
            ("minmax_sqrt", "ordinal"),
        )
    ]


def lines_of(paths, method):
    """Lines of the Markdown figures that begin with the method, and the one after each."""
    lines = paths["markdown"].read_text().splitlines()
    return [
        (line, following)
        for line, following in itertools.pairwise(lines)
        if line.startswith(f"| {method} |")
    ]


def test_every_figure_of_the_reference_is_there():
    stars, screening = published_classes("stars"), published_classes("screening")
    assert stars.query("metric == 'accuracy'")["value"].tolist() == [0.897]
    assert stars.query("metric == 'stamps' and label == 'training'")["value"].sum() == 2359
    areas = screening.query("metric == 'auc'")
    assert areas["study"].value_counts().to_dict() == {
        "stretch": 7,
        "regularisation": 7,
        "kernel": 4,
        "architecture": 3,
    }
    errors = screening.query("metric == 'error'").set_index("class")["value"]
    assert errors.to_dict() == {
        "0": 0.0045, "1": 0.049, "2": 0.837, "3": 0.56, "4": 0.456, "5": 0.3
    }  # fmt: skip
    assert screening.query("metric == 'observations'")["value"].sum() == 8643 + 2161 + 400
    assert read_published(None).empty


def test_a_published_figure_stands_only_where_it_can_be_told_which_of_ours_it_is():
    table = published_classes("screening")
    assert beside(table, "minmax_sqrt", "rotation", ["minmax_sqrt"])["value"].tolist() == [0.866]
    assert beside(table, "none", "rotation", ["none"]).empty
    # The study does not say with which stretch it compared kernels.
    assert beside(table, "none", "kernel9", ["none"])["value"].tolist() == [0.807, 341]
    assert beside(table, "none", "kernel9", ["none", "minmax_log"]).empty
    assert beside(table, "zscale_log", "", [])["value"].tolist() == [0.829]


def test_tidy_table_has_the_columns_and_statistics_promised(stars, tmp_path):
    paths = write(stars, "stars", tmp_path)
    tidy = pd.read_csv(paths["comparison"])
    assert list(tidy.columns) == [*COLUMNS, "mean", "std", "n_seeds"]
    assert not tidy.duplicated(COLUMNS).any()
    row = tidy.query("method == 'network_a' and metric == 'auc'").iloc[0]
    seeds = [
        value(run, "simulated", "circular/comet/donut", "auc")
        for run in stars
        if run.parent.name == "network_a"
    ]
    assert row["mean"] == pytest.approx(np.mean(seeds))
    assert row["std"] == pytest.approx(abs(seeds[0] - seeds[1]) / math.sqrt(2))
    assert (row["n_seeds"], row["item"]) == (2, "circular/comet/donut")
    whole = tidy.query("domain == 'both' and metric == 'seconds_per_epoch'")
    assert whole["mean"].tolist() == pytest.approx([2.15] * 3)
    vote = tidy.query("method == 'network_a' and metric == 'vote_accuracy'")["mean"].iloc[0]
    assert vote > tidy.query("method == 'network_a' and metric == 'accuracy'")["mean"].iloc[0]


def test_every_form_shows_the_same_numbers_and_the_published_ones(stars, tmp_path):
    paths = write(stars, "stars", tmp_path)
    tidy = pd.read_csv(paths["comparison"])
    row = tidy.query("method == 'network_b' and metric == 'balanced_accuracy'").iloc[0]
    for form in ("markdown", "html", "text"):
        text = paths[form].read_text()
        assert f"{row['mean']:.3f} ± {row['std']:.3f}" in text
        assert "star-image study published: network B" in text
        assert "accuracy train 0.958" in text
    assert "*0.897*" in lines_of(paths, "network_b")[0][1]
    assert "training, stamps: circular 2040, comet 303, donut 16" in paths["markdown"].read_text()


def test_a_leaking_protocol_is_named_and_never_called_best(stars, tmp_path):
    text = write(stars, "stars", tmp_path)["markdown"].read_text()
    verdicts = [line for line in text.splitlines() if line.startswith("- Simulated")]
    assert any("network_b_leaking is not ranked" in line for line in verdicts)
    leads = [line for line in verdicts if " is best" in line or " first, " in line]
    assert len(leads) == 1
    assert "leaking" not in leads[0]
    assert "network_b" in leads[0]
    assert "balanced accuracy (" in leads[0]
    assert "AUC (" in leads[0]


def test_classes_with_few_groups_are_named(stars, screening, tmp_path):
    text = write(stars, "stars", tmp_path)["markdown"].read_text()
    assert "- Simulated: few test groups (comet 3, donut 2)" in text
    assert "few test groups" not in write(screening, "screening", tmp_path)["markdown"].read_text()


def test_published_rows_stand_beside_their_method_and_the_rest_below(screening, tmp_path):
    paths = write(screening, "screening", tmp_path)
    text = paths["markdown"].read_text()
    assert "4XMM study published: dropout .2" in lines_of(paths, "dropout2")[0][1]
    assert "4XMM study published: kernel 3" in lines_of(paths, "kernel3")[0][1]
    assert "*0.774*" in lines_of(paths, "kernel3")[0][1]
    # Run in two variants: there is no telling which of them the study's figure belongs to.
    others = text.split("## Other figures published by 4XMM study")[1]
    assert "- 2 convolutions, AUC: 0.864" in others
    assert "- rotation, AUC: 0.866" in others
    assert "dropout .2" not in others
    # Of the stretch as a whole, at the end of its section.
    assert "*4XMM study published: MinMax sqrt*" in text
    errors = [
        line for line in text.splitlines() if line.startswith("|  | *4XMM study published* |")
    ]
    cells = "| *0.0045* | *0.049* | *0.837* | *0.56* | *0.456* | *0.3* |"
    assert len(errors) == 2 and all(cells in line for line in errors)


def test_finer_classes_have_a_row_of_their_own_and_are_ranked_apart(screening, tmp_path):
    paths = write(screening, "screening", tmp_path)
    fine, coarse = lines_of(paths, "ordinal")[0]
    assert "simulated: 0/1/2/3/4/5" in fine
    assert coarse.startswith("|  | simulated: good/bad |")
    text = paths["markdown"].read_text()
    assert "Simulated: good/bad, AUC:" in text
    assert "Simulated: 0/1/2/3/4/5, AUC" not in text
    summary = read_json(paths["metrics_folder"] / "minmax_sqrt.ordinal.json")
    assert set(summary["simulated"]) == {"0/1/2/3/4/5", "good/bad"}
    plot = read_table(paths["plot"])
    assert list(plot.columns) == ["run", "accuracy", "balanced_accuracy", "auc"]
    assert "minmax_sqrt/ordinal, simulated: good/bad" in set(plot["run"])


def test_errors_per_class_are_averaged_under_names_and_not_numbers(screening, tmp_path):
    paths = write(screening, "screening", tmp_path)
    parts = pd.read_csv(paths["breakdown"], dtype={"level": str})
    found = parts.query("metric == 'error' and by == 'label' and method == 'kernel3'")
    assert found["level"].tolist() == ["0", "1", "2", "3", "4"]
    own = pd.read_csv(screening[0] / "breakdown.csv").query("metric == 'error' and by == 'label'")
    assert found["mean"].tolist() == pytest.approx(own["value"].tolist())


def test_columns_without_any_figure_are_left_out(screening, tmp_path):
    head = write(screening, "screening", tmp_path)["markdown"].read_text().split("| ---")[0]
    assert "vote" not in head and "domain AUC" not in head and "balanced accuracy" in head


def test_text_from_names_is_escaped_in_html(tmp_path):
    run = fabricate_class_run(tmp_path / "run", variant="<b>", method="network_b")
    html = write([run], "stars", tmp_path / "tables")["html"].read_text()
    assert "&lt;b&gt;" in html and "<b>" not in html


def test_repeating_gives_the_same_bytes(stars, tmp_path):
    first, second = (write(stars, "stars", tmp_path / name) for name in "ab")
    for name in ("comparison", "breakdown", "text", "markdown", "html", "plot"):
        assert first[name].read_bytes() == second[name].read_bytes()


def test_runs_that_cannot_be_compared_are_refused(stars, tmp_path):
    other = fabricate_class_run(tmp_path / "other", "screening", method="kernel3")
    with pytest.raises(DataError, match="is a run of task screening, not stars; leave it out"):
        write([*stars, other], "stars", tmp_path)
    with pytest.raises(DataError, match=r"is the same run \(stars/none/network_a/1\)"):
        write([stars[0], stars[0]], "stars", tmp_path)
    with pytest.raises(DataError, match="no metrics to compare"):
        write([], "stars", tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "metrics.json").write_text('{"task": "stars"}')
    with pytest.raises(DataError, match=r"metrics\.json: lacks the keys 'variant'.*rerun"):
        write([broken], "stars", tmp_path)
    assert not (tmp_path / "comparison.csv").exists()
