"""Profile fits of a stamp set: they find what was drawn, and say where they could not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.stamps.format import write_stamps
from galadapt.tasks.galaxies.fitting.catalogue import fit_galaxies
from galadapt.tasks.galaxies.fitting.sersic import SersicFitter, fit_stamp

SIDE, RMS, ZERO_POINT = 40, 0.005, 25.9463
PSF = GaussianPsf(fwhm=0.18)
COUNT = 4
METADATA = {
    **{"domain": "survey", "band": "F160W", "pixel_scale": 0.06},
    **{"zero_point": ZERO_POINT, "pixel_rms": RMS},
}


def galaxies() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"id": np.arange(COUNT) + 10, "split": "test"})
    ranges = ((20.0, 21.0), (3.0, 4.0), (0.8, 2.0), (0.2, 0.5), (-80.0, 80.0), (-1.0, 1.0))
    names = (*PARAMETERS, "position_angle", "x_offset")
    for name, (low, high) in zip(names, ranges, strict=True):
        table[name] = rng.uniform(low, high, COUNT)
    table["y_offset"] = 0.3
    return table


def write(path, table, **metadata):
    renderer = make_renderer(
        Image(stamp_size=SIDE, pixel_scale=0.06, zero_point=ZERO_POINT),
        make_psf(PSF, 0.06),
        "ktable",
    )
    noise = np.random.default_rng(1)
    drawn = table[[*PARAMETERS, "position_angle", "x_offset", "y_offset"]].to_dict("records")
    images = np.stack([renderer.render(row) for row in drawn])
    images = images + RMS * noise.standard_normal(images.shape)
    given = {key: value for key, value in {**METADATA, **metadata}.items() if value is not None}
    write_stamps(path, [images.astype(np.float32)], table, given)
    return path


def fit(path, output, count=10, **changes):
    arguments = {"psf": PSF, "extraction": Extraction(), "exposure_time": 3300.0, "seed": 1}
    fit_galaxies(path, galaxies=count, output=output, **{**arguments, **changes})
    return pd.read_parquet(output)


def test_fits_find_what_was_drawn(tmp_path):
    path = write(tmp_path / "stamps.h5", galaxies())
    fits = fit(path, tmp_path / "fits.parquet")
    assert fits["id"].tolist() == [10, 11, 12, 13]
    assert (fits["failure"] == "").all()
    for name, tolerance in zip(PARAMETERS, (0.05, 0.3, 0.2, 0.03), strict=True):
        assert np.abs(fits[f"{name}_fitted"] - fits[f"{name}_true"]).max() < tolerance
    assert fits["chi2"].between(0.5, 1.5).all()


def test_processes_change_no_byte(tmp_path):
    path = write(tmp_path / "stamps.h5", galaxies())
    outputs = [tmp_path / f"{count}.parquet" for count in (1, 2)]
    for output, processes in zip(outputs, (1, 2), strict=True):
        fit(path, output, count=2, processes=processes)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_only_labelled_test_galaxies_are_fitted(tmp_path):
    table = galaxies()
    table.loc[0, "split"] = "train"
    table.loc[1, "sersic_index"] = np.nan
    drawn = write(tmp_path / "stamps.h5", galaxies())
    assert len(fit(drawn, tmp_path / "one.parquet", count=1)) == 1
    relabelled = tmp_path / "relabelled.h5"
    write_stamps(
        relabelled,
        [np.ones((COUNT, SIDE, SIDE), np.float32)],
        table,
        METADATA,
    )
    assert set(fit(relabelled, tmp_path / "fits.parquet")["id"]) == {12, 13}


def test_without_labels_the_table_is_empty(tmp_path):
    table = galaxies()
    path = tmp_path / "stamps.h5"
    write_stamps(
        path,
        [np.ones((COUNT, SIDE, SIDE), np.float32)],
        table.drop(columns=list(PARAMETERS)),
        METADATA,
    )
    fits = fit(path, tmp_path / "fits.parquet")
    assert len(fits) == 0
    assert {"failure", "magnitude_fitted"} <= set(fits.columns)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"pixel_rms": None}, r"stamps\.h5: has no noise \(pixel_rms\).*extract again"),
        ({"variant_steps": []}, r"stamps\.h5: a variant's stamps; give those before"),
    ],
)
def test_stamps_that_cannot_be_fitted_are_refused(tmp_path, metadata, message):
    path = write(tmp_path / "stamps.h5", galaxies(), **metadata)
    with pytest.raises(DataError, match=message):
        fit(path, tmp_path / "fits.parquet")
    assert not (tmp_path / "fits.parquet").exists()


def test_a_stamp_without_a_galaxy_says_why_it_failed():
    fitter = SersicFitter(make_psf(PSF, 0.06), SIDE, 0.06, ZERO_POINT, psf_side=41)
    empty = -np.abs(RMS * np.random.default_rng(1).standard_normal((SIDE, SIDE)))
    found = fit_stamp(fitter, empty, RMS, (0.0, 0.0), Extraction(), start_indices=(1.0, 3.5))
    assert found["failure"].startswith("the profile fit")


def test_of_several_starts_the_best_fit_counts(monkeypatch):
    fitter = SersicFitter(make_psf(PSF, 0.06), SIDE, 0.06, ZERO_POINT, psf_side=41)
    monkeypatch.setattr(
        fitter, "fit", lambda *given, **_: {"chi2": abs(given[2]["sersic_index"] - 3)}
    )
    pixels = np.ones((SIDE, SIDE))
    found = fit_stamp(fitter, pixels, RMS, (0.0, 0.0), Extraction(), start_indices=(1.0, 3.5))
    assert found["chi2"] == 0.5


def test_sky_that_was_taken_from_the_wings_is_given_back(tmp_path):
    """A mesh of the background takes a spheroid's wings: its radius was 3 to 13 % too small."""
    truth = dict(zip(PARAMETERS, (19.5, 4.0, 4.0, 0.3), strict=True))
    place = {"position_angle": 20.0, "x_offset": 0.2, "y_offset": -0.1}
    image = Image(stamp_size=64, pixel_scale=0.06, zero_point=ZERO_POINT)
    drawn = make_renderer(image, make_psf(PSF, 0.06), "ktable").render({**truth, **place})
    noise = RMS * np.random.default_rng(2).standard_normal(drawn.shape)
    fitter = SersicFitter(make_psf(PSF, 0.06), 64, 0.06, ZERO_POINT, psf_side=41)
    found = fit_stamp(fitter, drawn + noise - 0.6 * RMS, RMS, (0.2, -0.1), Extraction())
    assert found["sky"] == pytest.approx(-0.6 * RMS, abs=0.2 * RMS)
    assert found["effective_radius"] == pytest.approx(4.0, rel=0.03)
