"""The report of fit-check: failures are counted, and it adds up."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from galadapt.cli import main
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.package import read_package
from galadapt.prediction.predict import predict
from galadapt.prediction.recalibration import measured, write_recalibration
from galadapt.tasks.galaxies.fitting import check as module
from galadapt.tasks.galaxies.fitting.check import compare, fit_check, verdict


def test_the_report_adds_up(package, sets, tmp_path, monkeypatch):
    fit = module.fit_stamps

    def mostly_made_up(*arguments):
        """The first fit fails, the second is one, the others are made up."""
        found = fit(*arguments)
        for number, name in enumerate(PARAMETERS):
            found.loc[2:, name] = 1.0 + 0.1 * np.arange(len(found) - 2) + number
        found.loc[2:, "failure"] = ""
        found.loc[0, list(PARAMETERS)] = np.nan
        found.loc[0, "failure"] = "the profile fit fails"
        return found

    monkeypatch.setattr(module, "fit_stamps", mostly_made_up)
    path, picture = tmp_path / "agreement.csv", tmp_path / "agreement.png"
    report = fit_check(package, Inputs(stamps=sets["survey"]), path, sample=9, plot=picture)
    total = report.iloc[: len(PARAMETERS)]
    assert (total["sampled"] == 9).all()
    assert (total["measured"] == 9).all()
    assert (total["failed"] >= 1).all()
    assert (total["fitted"] == total["measured"] - total["failed"]).all()
    assert (
        report.iloc[len(PARAMETERS) :]
        .groupby("parameter")["fitted"]
        .sum()
        .eq(total["fitted"].iloc[0])
        .all()
    )
    objects = pd.read_csv(tmp_path / "agreement_objects.csv")
    assert (objects["failure"].notna()).sum() == total["failed"].iloc[0]
    assert picture.read_bytes().startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv(path), report, check_dtype=False)


def test_differences_are_predicted_minus_fitted():
    count = 40
    table = pd.DataFrame({"id": np.arange(count), "failure": ""})
    for name in PARAMETERS:
        table[f"{name}_fitted"] = np.linspace(2, 4, count)
        table[name] = 1.1 * table[f"{name}_fitted"]
        table[f"{name}_err"] = 0.3
    rows = compare(table, PARAMETERS, count).iloc[:4].set_index("parameter")
    assert rows.loc["effective_radius", "median_difference"] == pytest.approx(0.1)
    assert rows.loc["sersic_index", "median_difference"] == pytest.approx(np.log10(1.1))
    assert rows.loc["magnitude", "median_difference"] == pytest.approx(0.3, rel=0.01)
    assert rows.loc["magnitude", "within_error"] == pytest.approx(0.5, abs=0.03)
    assert rows.loc["magnitude", "outliers"] == 0


def compared(faint_offset: float = 0.0, count: int = 200) -> pd.DataFrame:
    """Objects that agree to 68 % with their fits, but for the indices of those below 22 mag."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"id": np.arange(count), "failure": ""})
    magnitude = np.linspace(19, 24, count)
    for name in PARAMETERS:
        table[f"{name}_fitted"] = magnitude if name == "magnitude" else 3.0
        table[f"{name}_err"] = 0.2
        table[name] = table[f"{name}_fitted"] + 0.2 * rng.standard_normal(count)
    table.loc[magnitude > 22, "sersic_index"] += faint_offset
    return table


def test_the_verdict_names_what_not_to_use():
    good = verdict(compare(compared(), PARAMETERS, 200), PARAMETERS)
    assert good.startswith("Verdict from 200 fits: networks and fits agree")
    bad = verdict(compare(compared(1.5), PARAMETERS, 200), PARAMETERS)
    assert bad.startswith("Verdict from 200 fits: do not use Sérsic index below 21.5 mag here")
    assert "magnitude below" not in bad
    few = compared(count=5)
    assert "too few" in verdict(compare(few, PARAMETERS, 5), PARAMETERS)


@pytest.mark.parametrize("count", [8, 20, 49, 50])
def test_few_fits_give_no_firm_verdict(count):
    good = verdict(compare(compared(count=count), PARAMETERS, count), PARAMETERS)
    bad = verdict(compare(compared(3.0, count=count), PARAMETERS, count), PARAMETERS)
    firm = count >= 50
    assert good.startswith("Verdict from" if firm else f"Tentative verdict from {count} fits (a f")
    assert ("do not use" in bad, "perhaps Sérsic index" in bad) == (firm, not firm)


def test_shares_have_binomial_uncertainties():
    """As many repetitions scatter."""
    rng = np.random.default_rng(2)
    for count in (10, 40):
        found, table = [], compared(count=count)
        for _ in range(400):
            table["magnitude"] = table["magnitude_fitted"] + 0.2 * rng.standard_normal(count)
            found.append(compare(table, ["magnitude"], count).iloc[0])
        shares = pd.DataFrame(found)
        scatter = shares["within_error"].std()
        assert shares["within_error_err"].mean() == pytest.approx(scatter, rel=0.12)
    row = compare(compared(count=10).assign(magnitude=0.0), ["magnitude"], 10).iloc[0]
    assert (row["within_error"], round(row["within_error_err"], 2)) == (0, 0.09)
    said = verdict(compare(compared(count=100), PARAMETERS, 100), PARAMETERS)
    assert re.search(
        r"of 68 % expected: magnitude \d\d ± [45] %, effective radius \d\d ± [45] %", said
    )


def test_agreement_is_not_doubted_by_chance():
    """Of truly agreeing networks, few samples of any size are called in doubt."""
    rng = np.random.default_rng(3)
    for count in (8, 20, 60):
        wrong, table = 0, compared(count=count)
        for _ in range(60):
            for name in PARAMETERS:
                noise = 0.2 * rng.standard_normal(count)
                table[name] = table[f"{name}_fitted"] + noise
            said = verdict(compare(table, PARAMETERS, count), PARAMETERS)
            wrong += "do not use" in said or "perhaps" in said
        assert wrong <= 8


def test_recalibration_enlarges_what_is_too_small_and_nothing_else(package, sets, tmp_path):
    record = read_package(package).record
    factors = measured(compared(1.0), record, 0.68)
    index = [one.factors["sersic_index"] for one in factors.bins]
    assert index[0] < 1.4
    assert index[-1] > 4
    assert max(one.factors["ellipticity"] for one in factors.bins) < 1.5
    inputs, path = Inputs(stamps=sets["survey"]), tmp_path / "factors.json"
    write_recalibration(path, factors)
    plain = predict(package, inputs, tmp_path / "plain.csv")
    wider = predict(package, inputs, tmp_path / "wider.csv", recalibration=path)
    known = plain["sersic_index_err"].notna()
    if known.any():
        expected = factors.factors(plain["magnitude"].to_numpy()[known])[:, 2]
        ratio = (wider["sersic_index_err"] / plain["sersic_index_err"])[known]
        np.testing.assert_allclose(ratio, expected, rtol=1e-9)
    assert (plain["flags"] == wider["flags"]).all()
    other = factors.model_copy(update={"networks": ("another",)})
    write_recalibration(path, other)
    with pytest.raises(DataError, match="measured with other networks"):
        predict(package, inputs, tmp_path / "plain.csv", recalibration=path)
    path.write_text("{}")
    with pytest.raises(DataError, match="no recalibration"):
        predict(package, inputs, tmp_path / "plain.csv", recalibration=path)
    with pytest.raises(DataError, match="raise --sample"):
        measured(compared(count=5), record, 0.68)


def test_the_sample_depends_on_the_seed(package, sets, tmp_path):
    inputs = Inputs(stamps=sets["survey"])

    def ids(seed: int) -> list[int]:
        fit_check(package, inputs, tmp_path / "a.csv", sample=2, seed=seed)
        return pd.read_csv(tmp_path / "a_objects.csv")["id"].tolist()

    assert ids(1) == ids(1) != ids(2)


def test_a_bad_sample_or_output(package, sets, tmp_path, capsys):
    inputs = Inputs(stamps=sets["survey"])
    with pytest.raises(ConfigError, match="--sample: must be at least 1"):
        fit_check(package, inputs, tmp_path / "a.csv", sample=0)
    arguments = ["--model", str(package), "--stamps", str(sets["survey"])]
    assert main(["fit-check", *arguments, "-o", str(tmp_path / "a.txt")]) == 2
    assert "end the report's name in one of .csv" in capsys.readouterr().err
