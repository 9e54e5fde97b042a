"""Wrong answers of a network are found in the pixels; right ones are left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.wcs import WCS

from galadapt.config.base import Interval
from galadapt.config.image import GaussianPsf, Image
from galadapt.config.survey import Extraction
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.stamps import Stamp
from galadapt.prediction.checks import Checker, noise_correlation
from galadapt.prediction.flags import NO_MAGNITUDE, NO_SHAPE, REMEDIES, Flag
from galadapt.prediction.intervals import WidestIntervals
from galadapt.prediction.package import FAINT_MARGIN, Member, Record
from galadapt.prediction.stamps import _orientation
from galadapt.prediction.trust import doubts
from galadapt.simulation.noise import kernel
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer

RMS, PSF = 0.005, GaussianPsf(fwhm=0.18)
RANGES = {
    "magnitude": (18.0, 24.0),
    "effective_radius": (1.5, 12.0),
    "sersic_index": (0.3, 6.2),
    "ellipticity": (0.0, 0.9),
}
ERRORS = np.array([[0.1, 0.4, 0.2, 0.05]])


@pytest.fixture(scope="module")
def record() -> Record:
    return Record(
        name="galaxies/asinh/test",
        parameters=PARAMETERS,
        members=[Member(file="member-1.onnx", seed=1, digest="", target_scaling={})],
        reference_digest="",
        size=0,
        variant_steps=[],
        stamp_size=64,
        pixel_scale=0.06,
        zero_point=25.9463,
        band="F160W",
        pixel_rms=RMS,
        noise_correlation=0.5,
        psf=PSF,
        psf_fwhm=0.18,
        extraction=Extraction(),
        training_ranges={name: Interval(low=a, high=b) for name, (a, b) in RANGES.items()},
        method={},
        labels_of=("simulated",),
        survey="mock",
        reference_domains=("simulated",),
        feature_domains=("simulated",),
        coverage=(),
        quality=(),
        licence="",
        citation="",
        version="",
        provenance={},
    )


@pytest.fixture(scope="module")
def checker(record: Record) -> Checker:
    return Checker(record, make_psf(PSF, 0.06))


def stamp_of(values: list[float], seed: int = 1, sky: float = 0.0) -> Stamp:
    renderer = make_renderer(Image(), make_psf(PSF, 0.06), "ktable")
    placed = {"position_angle": 30.0, "x_offset": 0.3, "y_offset": -0.2}
    drawn = renderer.render({**dict(zip(PARAMETERS, values, strict=True)), **placed})
    noise = RMS * np.random.default_rng(seed).standard_normal(drawn.shape)
    return Stamp(
        pixels=(drawn + noise + sky).astype(np.float32),
        x=0,
        y=0,
        x_offset=0.3,
        y_offset=-0.2,
        background=0.0,
        local_rms=RMS,
        empty_rms=RMS,
        neighbour_fraction=0.0,
        signal_to_noise=100.0,
        fwhm=np.nan,
        flags=0,
    )


def judged(record: Record, checker: Checker, stamp: Stamp, predicted: list[float], room=np.nan):
    values = np.array([predicted])
    raw = pd.DataFrame(checker.many([stamp], values, np.array([room])))
    raw["local_rms"], raw["unlike"], raw["room"] = RMS, 0.5, room
    found = doubts(record, raw, values, ERRORS)
    return Flag(int(found.flags[0])), raw.iloc[0], found


def test_a_right_prediction_has_no_flag(record, checker):
    truth = [21.0, 5.0, 2.0, 0.4]
    flags, raw, found = judged(record, checker, stamp_of(truth), [21.05, 5.2, 2.1, 0.42])
    assert flags == 0
    assert raw["chi2"] == pytest.approx(1.2, abs=0.3)
    assert raw["flux_ratio"] == pytest.approx(10**0.02, abs=0.03)
    assert raw["sersic_index_offset"] == pytest.approx(-0.1, abs=0.05)
    assert found.tension[0] < 1.5


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ([20.6, 5.0, 2.0, 0.4], Flag.FLUX_DISAGREES | Flag.PIXELS_DISAGREE),
        ([21.0, 5.0, 3.2, 0.4], Flag.PIXELS_DISAGREE),
        ([21.0, 7.0, 2.0, 0.4], Flag.PIXELS_DISAGREE),
        ([21.0, 5.0, 2.0, 0.75], Flag.PIXELS_DISAGREE),
        ([21.0, 14.0, 2.0, 0.4], Flag.OUT_OF_RANGE),
    ],
)
def test_a_wrong_prediction_is_flagged(record, checker, wrong, expected):
    flags, _, _ = judged(record, checker, stamp_of([21.0, 5.0, 2.0, 0.4]), wrong)
    assert flags & expected == expected


def test_a_galaxy_where_there_is_no_light_disagrees(record):
    raw = pd.DataFrame({"flux_ratio": [-0.4, 0.0, 1.0, np.nan], "flux_ratio_err": 0.1})
    raw = raw.assign(local_rms=RMS, unlike=0.5, room=np.nan)
    values = np.array([[21.0, 5.0, 2.0, 0.4]] * 4)
    found = doubts(record, raw, values, np.repeat(ERRORS, 4, axis=0))
    disagrees = (found.flags & int(Flag.FLUX_DISAGREES)) > 0
    assert disagrees.tolist() == [True, True, False, False]


def test_wings_that_nobody_detected_are_flagged(record):
    """A magnitude brighter than the detected pixels is a guess at their surroundings."""
    raw = pd.DataFrame({"segment_magnitude": [21.2, 22.0, np.nan], "local_rms": RMS})
    values = np.array([[21.0, 5.0, 4.0, 0.4]] * 3)
    found = doubts(record, raw, values, np.repeat(ERRORS, 3, axis=0))
    flagged = (found.flags & int(Flag.UNDETECTED_LIGHT)) > 0
    assert flagged.tolist() == [False, True, False]


def test_a_value_near_a_limit_is_named_with_the_limit(record):
    raw = pd.DataFrame({"local_rms": [RMS, RMS]})
    interval = record.training_ranges["sersic_index"]
    values = np.array([[21.0, 5.0, interval.high - 0.01, 0.4], [21.0, 5.0, 3.0, 0.4]])
    found = doubts(record, raw, values, np.repeat(ERRORS, 2, axis=0))
    assert (found.flags & int(Flag.UNCONFIRMED) > 0).tolist() == [True, False]
    assert found.unconfirmed.tolist() == [f"sersic_index near its limit {interval.high:.3g}", ""]


def test_flags_that_forbid_a_magnitude_forbid_shapes():
    assert NO_MAGNITUDE & NO_SHAPE == NO_MAGNITUDE
    # Stars, and galaxies whose Sersic index is near a limit, have good magnitudes.
    assert not NO_MAGNITUDE & int(Flag.STAR_LIKE | Flag.UNCONFIRMED | Flag.CUT | Flag.EDGE)
    assert all(NO_SHAPE & int(flag) for flag in (Flag.STAR_LIKE, Flag.UNCONFIRMED, Flag.NO_STAMP))


def test_a_galaxy_fainter_than_any_is_not_believed(record, checker):
    """Networks answer it with their faintest magnitude, well inside the training's range."""
    stamp = stamp_of([25.0, 4.0, 1.0, 0.2])
    flags, _, found = judged(record, checker, stamp, [23.4, 9.0, 2.5, 0.3])
    assert flags & Flag.UNCONFIRMED
    assert found.unconfirmed[0].startswith("magnitude fainter than 22.5")
    assert flags & Flag.FLUX_DISAGREES


def test_the_faintest_magnitudes_are_believed_where_the_pixels_confirm_them(record, checker):
    assert record.claimed_ranges["magnitude"].high == 24.0 - FAINT_MARGIN
    truth = [22.9, 4.0, 1.5, 0.2]
    flags, _, _ = judged(record, checker, stamp_of(truth), truth)
    assert flags == 0
    # Half a magnitude beside the truth; brighter galaxies are allowed as much in errors.
    flags, _, _ = judged(record, checker, stamp_of(truth), [22.65, 4.0, 1.5, 0.2])
    assert flags & Flag.UNCONFIRMED


def test_noise_that_correlates_otherwise_matters_where_nothing_confirms(record, checker):
    truth = [21.0, 5.0, 2.0, 0.4]
    flags, raw, _ = judged(record, checker, stamp_of(truth), truth)
    assert abs(raw["noise_correlation"]) < 0.06  # white; the training's is 0.5
    assert not flags & Flag.NOISE_CORRELATION
    flags, _, _ = judged(record, checker, stamp_of(truth), [21.0, 5.0, 2.5, 0.4])
    assert flags & Flag.NOISE_CORRELATION


def test_the_correlation_of_noise_is_measured():
    taps, rng = kernel(1.7), np.random.default_rng(2)
    white = rng.standard_normal((200, 200))
    for axis in (0, 1):
        white = np.apply_along_axis(np.convolve, axis, white, taps, "same")
    empty = np.ones(white.shape, bool)
    assert noise_correlation(white, empty) == pytest.approx(0.52, abs=0.03)
    assert np.isnan(noise_correlation(white, ~empty))


def test_light_beyond_a_tight_frame_is_flagged(record, checker):
    spheroid, disc = [20.5, 10.0, 4.0, 0.2], [20.5, 5.0, 1.0, 0.2]
    flags, raw, found = judged(record, checker, stamp_of(spheroid), spheroid, room=33.0)
    assert flags & Flag.CUT
    assert found.light_beyond[0] == pytest.approx(0.14, abs=0.05)
    flags, _, _ = judged(record, checker, stamp_of(disc), disc, room=33.0)
    assert not flags & Flag.CUT
    # The background of a tight frame took the wings; the fit gives them back.
    _, raw, _ = judged(record, checker, stamp_of(disc, sky=-0.8 * RMS), disc, room=33.0)
    assert raw["sky"] / RMS == pytest.approx(-0.8, abs=0.15)


def test_errors_are_those_of_the_domain_where_networks_do_worse():
    rng = np.random.default_rng(3)
    tables = []
    for domain, scatter in (("simulated", 0.3), ("survey", 0.1)):
        predicted = rng.uniform(19, 23, 400)
        table = pd.DataFrame({"magnitude_predicted": predicted, "magnitude_spread": 0.0})
        table["magnitude_true"] = predicted + scatter * rng.standard_normal(400)
        tables.append(table.assign(domain=domain))
    reference = pd.concat(tables)
    places, spread = np.linspace(19.5, 22.5, 20)[:, None], np.zeros((20, 1))
    both = WidestIntervals(reference, ("simulated", "survey"), ["magnitude"])
    assert np.median(both.errors(places, spread, 0.68)) == pytest.approx(0.3, abs=0.06)
    alone = WidestIntervals(reference, ("survey",), ["magnitude"])
    assert np.median(alone.errors(places, spread, 0.68)) == pytest.approx(0.1, abs=0.03)


def test_every_flag_has_a_remedy():
    assert set(REMEDIES) == set(Flag)


@pytest.mark.parametrize(("turn", "flipped"), [(0, False), (50, False), (0, True), (-20, True)])
def test_angles_on_the_image_are_turned_to_the_sky(turn, flipped):
    angle = np.radians(turn)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turned @ np.diag([1.0 if flipped else -1.0, 1.0])
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 60.0]
    wcs.wcs.crpix, wcs.wcs.cd = [101, 101], matrix * 0.06 / 3600
    mosaic: Any = SimpleNamespace(sky=wcs.pixel_to_world_values)
    up, handed = _orientation(mosaic, np.array([100.0]), np.array([100.0]))
    # A direction on the sky, 35 degrees from north through east, and where it lies on the image.
    x, y = np.linalg.inv(matrix) @ [np.sin(np.radians(35)), np.cos(np.radians(35))]
    on_image = np.degrees(np.arctan2(-x, y))
    assert (up + handed * on_image - 35 + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)
