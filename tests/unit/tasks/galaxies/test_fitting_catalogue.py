"""Profile fits of a stamp set: they find what was drawn, and say where they could not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.neighbours import shape_of
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.stamps.format import write_stamps
from galadapt.tasks.galaxies.fitting.catalogue import fit_galaxies
from galadapt.tasks.galaxies.fitting.sersic import fit_stamps

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


TRUTH = dict(zip(PARAMETERS, (20.5, 4.0, 1.0, 0.4), strict=True))
TRUTH |= {"position_angle": 30.0, "x_offset": 0.3, "y_offset": -0.2}


def drawn(side: int = SIDE, **changes: float) -> np.ndarray:
    image = Image(stamp_size=side, pixel_scale=0.06, zero_point=ZERO_POINT)
    return make_renderer(image, make_psf(PSF, 0.06), "ktable").render({**TRUTH, **changes})


def fit_one(pixels: np.ndarray) -> pd.Series:
    """Fit one stamp whose galaxy is near the middle."""
    offsets = np.array([[0.3, -0.2]])
    given = (make_psf(PSF, 0.06), 0.06, ZERO_POINT, pixels[None], np.array([RMS]), offsets)
    return fit_stamps(*given, Extraction()).iloc[0]


@pytest.mark.parametrize("index", [1.0, 3.5])
def test_every_parameter_of_a_clean_galaxy_is_found(index):
    found = fit_one(drawn(sersic_index=index))
    assert found["failure"] == ""
    assert found["magnitude"] == pytest.approx(20.5, abs=0.02)
    assert found["effective_radius"] == pytest.approx(4.0, rel=0.02)
    assert found["sersic_index"] == pytest.approx(index, rel=0.03)
    assert found["ellipticity"] == pytest.approx(0.4, abs=0.005)
    assert found["position_angle"] == pytest.approx(30, abs=0.5)
    assert found["x_offset"] == pytest.approx(0.3, abs=0.01)
    assert found["y_offset"] == pytest.approx(-0.2, abs=0.01)


def test_a_neighbour_does_not_count():
    rng = np.random.default_rng(4)
    alone = drawn() + RMS * rng.standard_normal((SIDE, SIDE))
    other = drawn(x_offset=15.0, y_offset=15.0, effective_radius=1.5)
    clean, crowded = fit_one(alone), fit_one(alone + other)
    assert crowded["magnitude"] == pytest.approx(clean["magnitude"], abs=0.02)
    assert crowded["effective_radius"] == pytest.approx(clean["effective_radius"], rel=0.03)


def test_moments_tell_the_orientation_and_neighbours():
    pixels = drawn() + drawn(x_offset=15.0, y_offset=15.0, effective_radius=1.5)
    shape = shape_of(pixels, RMS, (0.3, -0.2), Extraction())
    assert shape.position_angle == pytest.approx(30, abs=5)
    assert shape.neighbours[34, 34]
    assert not shape.neighbours[20, 20]


def test_a_stamp_without_a_galaxy_says_why_it_failed():
    noise = RMS * np.random.default_rng(1).standard_normal((SIDE, SIDE))
    for pixels in (-np.abs(noise), noise, np.zeros((SIDE, SIDE))):
        found = fit_one(pixels)
        assert found["failure"].startswith("the profile fit")
        assert found[list(PARAMETERS)].isna().all()


def test_one_stamp_that_fails_leaves_the_others_as_they_are():
    pixels = np.stack([drawn(), np.full((SIDE, SIDE), np.nan)])
    offsets = np.array([[0.3, -0.2]] * 2)
    given = (make_psf(PSF, 0.06), 0.06, ZERO_POINT, pixels, np.full(2, RMS), offsets)
    found = fit_stamps(*given, Extraction())
    assert found["failure"][0] == ""
    assert found["failure"][1].startswith("the profile fit")
    assert found["magnitude"][0] == pytest.approx(fit_one(drawn())["magnitude"], abs=1e-6)


def test_sky_that_was_taken_from_the_wings_is_given_back():
    """A mesh of the background takes a spheroid's wings: its radius was 3 to 13 % too small."""
    pixels = drawn(64, magnitude=19.5, sersic_index=4.0, ellipticity=0.3)
    noise = RMS * np.random.default_rng(2).standard_normal(pixels.shape)
    found = fit_one(pixels + noise - 0.6 * RMS)
    assert found["sky"] == pytest.approx(-0.6 * RMS, abs=0.2 * RMS)
    assert found["effective_radius"] == pytest.approx(4.0, rel=0.03)
