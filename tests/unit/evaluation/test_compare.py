from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from comparing import compared
from metric_rows import change, value

from galadapt.answers.published import read_published
from galadapt.core.errors import DataError
from galadapt.core.files import read_json
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.compare import COLUMNS, PARTS
from galadapt.tasks.registry import task


@pytest.fixture
def tables(tmp_path):
    return lambda runs, **others: compared(runs, tmp_path / "tables", **others)


def test_published_figures_are_the_seven_rows_of_the_work():
    rows = read_published(task("galaxies").words.published)
    assert len(rows) == 7 * len(PARAMETERS)
    values = rows.set_index(["method", "domain", "item"])["value"]
    assert values["transfer", "survey", "sersic_index"] == 0.8318
    assert values["baseline", "survey", "ellipticity"] == -1.406
    assert ("transfer", "simulated", "magnitude") not in values.index


def test_tidy_table_has_the_columns_and_statistics_promised(tables, all_runs):
    paths = tables(all_runs)
    tidy = pd.read_csv(paths["comparison"])
    assert list(tidy.columns) == [*COLUMNS, "mean", "std", "n_seeds"]
    assert not tidy.duplicated(COLUMNS).any()
    row = tidy.query("method == 'transfer' and domain == 'survey' and metric == 'r2'").iloc[0]
    seeds = [
        value(run, "survey", "magnitude", "r2") for run in all_runs if run.parent.name == "transfer"
    ]
    assert row["mean"] == pytest.approx(sum(seeds) / 2)
    assert row["std"] == pytest.approx(abs(seeds[0] - seeds[1]) / math.sqrt(2))
    assert row["n_seeds"] == 2
    assert list(tidy["method"].unique()) == list(dict.fromkeys(r.parent.name for r in all_runs))


def test_one_seed_has_no_scatter_and_prints_none(tables, make_run):
    paths = tables([make_run(method="baseline")])
    tidy = pd.read_csv(paths["comparison"])
    assert tidy["std"].isna().all()
    assert "±" not in paths["markdown"].read_text().split("## ")[1]


def test_every_form_shows_the_same_number_and_the_published_one(tables, all_runs):
    paths = tables(all_runs)
    tidy = pd.read_csv(paths["comparison"])
    row = tidy.query(
        "method == 'transfer' and domain == 'survey' and metric == 'r2' "
        "and item == 'effective_radius'"
    ).iloc[0]
    for form in ("markdown", "html", "text"):
        text = paths[form].read_text()
        assert f"{row['mean']:.3f} ± {row['std']:.3f}" in text
        assert "CANDELS study published" in text
        assert "0.853" in text
        assert "for orientation" in text


def test_summary_and_plot_files_for_dvc(tables, all_runs):
    paths = tables(all_runs)
    summary = json.loads((paths["metrics_folder"] / "asinh.baseline.json").read_text())
    assert set(summary["survey"]) == set(PARAMETERS)
    plot = pd.read_csv(paths["plot"])
    assert list(plot.columns) == ["run", *PARAMETERS]
    row = plot.set_index("run").loc["asinh/baseline, survey"]
    assert row["magnitude"] == pytest.approx(summary["survey"]["magnitude"]["r2"], abs=1e-4)
    bins = pd.read_csv(paths["breakdown"])
    assert list(bins.columns) == [*PARTS, "mean", "std", "n_seeds"]


def edit_r2(run, value, half_width, domain="survey"):
    new = {"r2": value, "r2_low": value - half_width, "r2_high": value + half_width}

    def edit(row):
        here = row["domain"] == domain and row["split"] == "test"
        return new.get(row["metric"], row["value"]) if here else row["value"]

    change(run, edit)


@pytest.mark.parametrize(
    ("half_width", "verdict"),
    [(0.01, "transfer is best"), (0.2, "no clear best"), (0.0, "without error bars")],
)
def test_a_best_method_is_named_only_beyond_the_error_bars(tables, make_run, half_width, verdict):
    runs = [make_run(method="baseline"), make_run(method="transfer")]
    edit_r2(runs[0], 0.80, half_width)
    edit_r2(runs[1], 0.85, half_width)
    text = tables(runs)["text"].read_text()
    # Each quantity, and the mean of all; where none is best, they share a sentence.
    shared = verdict == "no clear best"
    assert text.count(verdict) == (1 if shared else len(PARAMETERS) + 1)
    if shared:
        assert "R² (the mean of the 4 quantities, magnitude, effective radius, Sérsic" in text
        assert text.count("transfer first, baseline second in") == 1


def test_methods_that_come_first_are_named_where_none_is_best(tables, make_run):
    runs = [make_run(method="baseline"), make_run(method="transfer")]
    edit_r2(runs[0], 0.80, 0.2)
    edit_r2(runs[1], 0.85, 0.2)
    change(
        runs[1],
        lambda row: (
            0.7
            if (row["domain"], row["split"], row["item"], row["metric"])
            == ("survey", "test", "ellipticity", "r2")
            else row["value"]
        ),
    )
    text = tables(runs)["text"].read_text()
    assert "baseline first, transfer second in ellipticity (0.800 ± 0.200, 0.700 ± 0.200)." in text
    assert "transfer first, baseline second in the mean of the 4 quantities (0.812 ±" in text


def test_the_share_of_the_loss_recovered_is_said_only_for_an_established_loss(tables, make_run):
    runs = [make_run(method="baseline"), make_run(method="transfer")]
    edit_r2(runs[0], 1.0, 0.005, "simulated")
    edit_r2(runs[0], 0.2, 0.01)
    edit_r2(runs[1], 0.8, 0.01)
    text = tables(runs)["text"].read_text()
    assert "R² of the baseline from simulated to survey: magnitude 1.000 to 0.200" in text
    assert "loss recovered by transfer: magnitude 75 %, effective radius 75 %" in text
    edit_r2(runs[0], 0.99, 0.2)
    assert "no recovered share" in tables(runs)["text"].read_text()


def test_only_methods_that_adapt_a_network_recover_a_loss(tables, make_run):
    runs = [make_run(method=name) for name in ("baseline", "transfer", "dann_supervised")]
    edit_r2(runs[0], 1.0, 0.005, "simulated")
    edit_r2(runs[0], 0.2, 0.01)
    text = tables(runs, adapted=["transfer"])["text"].read_text()
    assert "recovered by transfer" in text
    assert "recovered by dann_supervised" not in text


def test_an_undefined_r2_is_shown_as_such(tables, make_run):
    runs = [make_run(method="baseline"), make_run(method="transfer")]
    edit_r2(runs[1], float("nan"), 0.0)
    text = tables(runs)["markdown"].read_text()
    assert "| n/a | n/a | n/a | n/a |" in text
    assert "fewer than two methods have a defined R²" in text


def test_repeating_gives_the_same_bytes(tables, all_runs):
    def content() -> dict[str, bytes]:
        files = [
            file for path in tables(all_runs).values() for file in [path, *path.glob("*.json")]
        ]
        return {file.name: file.read_bytes() for file in files if file.is_file()}

    first = content()
    assert "asinh.baseline.json" in first
    assert content() == first


def test_markup_in_a_name_is_escaped(tables, make_run):
    run = make_run()
    content = read_json(run / "metrics.json")
    content["variant"] = "<b>asinh"
    (run / "metrics.json").write_text(json.dumps(content))
    assert "<b>asinh" not in tables([run])["html"].read_text()


def test_bad_inputs_are_one_sentence(tables, make_run, tmp_path):
    run = make_run()
    with pytest.raises(DataError, match="no metrics to compare; name at least one"):
        tables([])
    with pytest.raises(DataError, match=r"is the same run \(galaxies/asinh/baseline/1\)"):
        tables([run, run])
    (run / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match=r"metrics\.json: lacks the keys 'task', 'variant'.*rerun"):
        tables([run])
    assert not (tmp_path / "tables").exists()
