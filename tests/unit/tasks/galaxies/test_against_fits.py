"""Networks beside profile fits: the same galaxies, the same figures, and what they allow to say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galadapt.answers.numbers.metrics import r2
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.tasks.galaxies.against_fits import COLUMNS, FIT, FORMS, against_fits

COUNT = 60


@pytest.fixture
def runs(make_run):
    return [
        make_run("asinh", method, seed, evaluate=False)
        for method in ("baseline", "transfer")
        for seed in (1, 2)
    ]


@pytest.fixture
def fits(runs, tmp_path):
    table = pd.read_parquet(runs[0] / "predictions.parquet")
    table = table[(table["domain"] == "survey") & (table["split"] == "test")].head(COUNT)
    found = pd.DataFrame({"id": table["id"]})
    rng = np.random.default_rng(0)
    for name in PARAMETERS:
        true = table[f"{name}_true"].to_numpy()
        found[f"{name}_true"] = true
        found[f"{name}_fitted"] = true * rng.normal(1, 1e-4, COUNT)
    found["chi2"] = 1.0
    found["failure"] = ["the profile fit fails"] * 5 + [""] * (COUNT - 5)
    path = tmp_path / "fits.parquet"
    found.to_parquet(path, index=False)
    return path


def compare(fits, runs, tmp_path):
    paths = tmp_path / "table.csv", tmp_path / "table.html", tmp_path / "figure.png"
    against_fits(fits, runs, *paths)
    return pd.read_csv(paths[0], keep_default_na=False, na_values=["nan"]), paths[1].read_text()


def test_all_are_judged_on_the_galaxies_that_could_be_fitted(fits, runs, tmp_path):
    table, page = compare(fits, runs, tmp_path)
    assert list(table.columns) == COLUMNS
    assert set(table["n"]) == {COUNT - 5}
    assert f"{COUNT} survey test galaxies were fitted, 5 of them without success" in page
    truth = pd.read_parquet(fits).iloc[5:].set_index("id")
    said = [pd.read_parquet(run / "predictions.parquet") for run in runs[:2]]
    said = [one[one["domain"] == "survey"].set_index("id").loc[truth.index] for one in said]
    row = table[(table["method"] == "baseline") & (table["quantity"] == "ln_sersic_index")].iloc[0]
    answers = [one["sersic_index_predicted"].to_numpy() for one in said]
    with np.errstate(invalid="ignore"):
        expected = [r2(np.log(truth["sersic_index_true"].to_numpy()), np.log(a)) for a in answers]
        together = r2(np.log(truth["sersic_index_true"].to_numpy()), np.log(np.mean(answers, 0)))
    assert float(row["mean"]) == pytest.approx(np.mean(expected))
    assert float(row["std"]) == pytest.approx(np.std(expected, ddof=1))
    assert float(row["ensemble"]) == pytest.approx(together)


def test_the_better_one_is_named(fits, runs, tmp_path):
    _, page = compare(fits, runs[:2], tmp_path)
    assert f"Survey, ellipticity: {FIT} is best (R²" in page
    assert "above baseline (asinh)" in page
    assert "2 seeds together" in page


def test_only_the_best_network_is_judged_in_words(fits, runs, tmp_path):
    _, page = compare(fits, runs, tmp_path)
    verdicts = page.partition("<table")[0]
    assert "transfer (asinh)" in verdicts
    assert "baseline (asinh)" not in verdicts


def test_failures_of_the_fit_itself_are_shown(fits, runs, tmp_path):
    table = pd.read_parquet(fits)
    table.loc[table.index[-2:], "effective_radius_fitted"] *= 30
    table.to_parquet(fits, index=False)
    _, page = compare(fits, runs, tmp_path)
    assert "is wrong, but reports no failure, for 2 of" in page
    assert "in effective radius (off by more than 50 %): its R² is -" in page
    assert "without them 1.000" in page
    assert "in ellipticity (off" not in page


def test_the_figure_shows_every_method(fits, runs, tmp_path):
    compare(fits, runs, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_fitted_galaxy_there_is_nothing_to_compare(fits, runs, tmp_path):
    empty = pd.read_parquet(fits).head(0)
    empty.to_parquet(fits, index=False)
    table, page = compare(fits, runs, tmp_path)
    assert "no labelled test galaxy" in page
    assert set(table["quantity"]) == set(FORMS)
    assert (tmp_path / "figure.png").exists()


def test_broken_inputs_are_refused(fits, runs, tmp_path):
    table = pd.read_parquet(fits)
    table.drop(columns="failure").to_parquet(fits, index=False)
    with pytest.raises(DataError, match=r"fits\.parquet: lacks the column 'failure'; rerun"):
        compare(fits, runs, tmp_path)
    table.to_parquet(fits, index=False)
    path = runs[0] / "predictions.parquet"
    twice = pd.read_parquet(path)
    pd.concat([twice, twice]).to_parquet(path, index=False)
    with pytest.raises(DataError, match="names a survey galaxy twice"):
        compare(fits, runs, tmp_path)
    assert not (tmp_path / "table.csv").exists()
