"""The fitter finds what was drawn, its failures are counted, and the report adds up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from galaxies import RMS, ZERO_POINT

from galadapt.cli import main
from galadapt.config import PARAMETERS, GaussianPsf, Image
from galadapt.errors import ConfigError, RunError
from galadapt.extraction.cutouts import Stamp
from galadapt.fitting.sersic import SersicFitter
from galadapt.fitting.stamps import shape_of
from galadapt.prediction import fit_check as module
from galadapt.prediction.fit_check import compare, fit_check
from galadapt.prediction.package import read_package
from galadapt.prediction.task import Inputs
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer

PSF = make_psf(GaussianPsf(fwhm=0.18), 0.06)
TRUTH = {"magnitude": 20.5, "effective_radius": 4.0, "ellipticity": 0.4, "position_angle": 30.0}
TRUTH |= {"x_offset": 0.3, "y_offset": -0.2}


@pytest.fixture(scope="module")
def fitter() -> SersicFitter:
    return SersicFitter(PSF, 40, 0.06, ZERO_POINT, psf_side=41)


def drawn(**changes: float) -> np.ndarray:
    image = Image(stamp_size=40, pixel_scale=0.06, zero_point=ZERO_POINT)
    return make_renderer(image, PSF, "ktable").render({**TRUTH, "sersic_index": 1.0, **changes})


def stamp(pixels: np.ndarray) -> Stamp:
    numbers = dict.fromkeys(("background", "empty_rms", "neighbour_fraction", "fwhm"), 0.0)
    return Stamp(
        pixels.astype(np.float32), x=0, y=0, x_offset=0.3, y_offset=-0.2, local_rms=RMS,
        signal_to_noise=100.0, flags=0, **numbers,
    )  # fmt: skip


@pytest.mark.parametrize("index", [1.0, 3.5])
def test_the_fit_finds_what_was_drawn(fitter, index):
    guess = {"effective_radius": 3.0, "sersic_index": 1.5, "ellipticity": 0.3}
    found = fitter.fit(drawn(sersic_index=index), RMS, {**guess, "position_angle": 20.0})
    assert found["magnitude"] == pytest.approx(20.5, abs=0.02)
    assert found["effective_radius"] == pytest.approx(4.0, rel=0.02)
    assert found["sersic_index"] == pytest.approx(index, rel=0.03)
    assert found["ellipticity"] == pytest.approx(0.4, abs=0.005)
    assert found["position_angle"] == pytest.approx(30, abs=0.5)
    assert found["x_offset"] == pytest.approx(0.3, abs=0.01)


def test_masked_pixels_do_not_count(fitter):
    pixels = drawn()
    mask = np.zeros(pixels.shape, bool)
    mask[:8, :8] = True
    guess = {"effective_radius": 3.0, "sersic_index": 1.5, "ellipticity": 0.3}
    guess["position_angle"] = 20.0
    clean = fitter.fit(pixels, RMS, guess, mask)
    dirty = fitter.fit(np.where(mask, 50.0, pixels), RMS, {**guess, "magnitude": 20.6}, mask)
    assert dirty["magnitude"] == pytest.approx(clean["magnitude"], abs=1e-3)


def test_noise_is_no_galaxy(fitter):
    noise = RMS * np.random.default_rng(1).standard_normal((40, 40))
    guess = {"effective_radius": 3.0, "sersic_index": 1.5, "ellipticity": 0.3}
    with pytest.raises(RunError, match=r"the profile fit .*leave"):
        fitter.fit(-np.abs(noise), RMS, {**guess, "position_angle": 0.0})


def test_moments_tell_the_orientation_and_neighbours():
    pixels = drawn() + drawn(x_offset=15.0, y_offset=15.0, effective_radius=1.5)
    shape = shape_of(pixels, RMS, (0.3, -0.2), 1.5, 8)
    assert shape.position_angle == pytest.approx(30, abs=5)
    assert shape.neighbours[34, 34]
    assert not shape.neighbours[20, 20]


def test_the_report_adds_up(package, sets, tmp_path, monkeypatch):
    fit = module._fit
    failures = iter([True] + [False] * 100)

    def fail_once(*arguments):
        return {"failure": "the profile fit fails"} if next(failures) else fit(*arguments)

    monkeypatch.setattr(module, "_fit", fail_once)
    path, picture = tmp_path / "agreement.csv", tmp_path / "agreement.png"
    report = fit_check(package, Inputs(stamps=sets["survey"]), path, sample=9, plot=picture)
    total = report.iloc[: len(PARAMETERS)]
    assert (total["asked"] == 9).all()
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


def test_differences_are_predicted_minus_fitted(package):
    record = read_package(package).record
    count = 40
    table = pd.DataFrame({"id": np.arange(count), "failure": ""})
    for name in PARAMETERS:
        table[f"{name}_fitted"] = np.linspace(2, 4, count)
        table[name] = 1.1 * table[f"{name}_fitted"]
        table[f"{name}_err"] = 0.3
    rows = compare(table, record, count).iloc[:4].set_index("parameter")
    assert rows.loc["effective_radius", "median_difference"] == pytest.approx(0.1)
    assert rows.loc["sersic_index", "median_difference"] == pytest.approx(np.log10(1.1))
    assert rows.loc["magnitude", "median_difference"] == pytest.approx(0.3, rel=0.01)
    assert rows.loc["magnitude", "within_error"] == pytest.approx(0.5, abs=0.03)
    assert rows.loc["magnitude", "outliers"] == 0


def test_the_sample_depends_on_the_seed(package, sets, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_fit", lambda *_: {"failure": "not tried"})
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
