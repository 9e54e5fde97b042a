"""The report of fit-check: failures are counted, and it adds up."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from galadapt.cli import main
from galadapt.core.errors import ConfigError
from galadapt.core.quantity import PARAMETERS
from galadapt.prediction.inputs import Inputs
from galadapt.tasks.galaxies.fitting import check as module
from galadapt.tasks.galaxies.fitting.check import compare, fit_check


def test_the_report_adds_up(package, sets, tmp_path, monkeypatch):
    fit, calls = module.fit_stamp, itertools.count()

    def mostly_made_up(*arguments):
        """The first fit fails, the second is one, the others are made up."""
        number = next(calls)
        if number == 1:
            return fit(*arguments)
        made_up = dict.fromkeys(PARAMETERS, 1.0 + 0.1 * number)
        return made_up if number else {"failure": "the profile fit fails"}

    monkeypatch.setattr(module, "fit_stamp", mostly_made_up)
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


def test_the_sample_depends_on_the_seed(package, sets, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fit_stamp", lambda *_: {"failure": "not tried"})
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
    assert "end its name in .csv" in capsys.readouterr().err
