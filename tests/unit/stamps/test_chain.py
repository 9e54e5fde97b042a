import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from galadapt.core.errors import DataError
from galadapt.stamps import preprocess as chain
from galadapt.stamps.format import StampSet, write_stamps
from galadapt.stamps.preprocess import (
    Contrast,
    Divide,
    IntervalStep,
    NoiseAsinh,
    Peak,
    Rebin,
    Stretch,
    apply_chain,
    make_variant,
)

RMS = 0.005


@pytest.fixture
def images():
    rng = np.random.default_rng(3)
    return rng.normal(0.02, RMS, (5, 16, 16))


def write(path, images, first=0, rms=RMS, **metadata):
    table = pd.DataFrame(
        {
            "id": first + np.arange(len(images)),
            "split": "train",
            "effective_radius": 3.0,
        }
    )
    known = {"pixel_scale": 0.06, "zero_point": 25.9, "band": "F160W", "domain": "survey"}
    known |= {"provenance": {"made": "here"}} | metadata
    if rms is not None:
        known["pixel_rms"] = rms
    write_stamps(path, [images], table, known)
    return path


def test_rebin_averages_blocks():
    image = np.arange(16.0).reshape(1, 4, 4)
    out = apply_chain(image, [Rebin(factor=2)], RMS)
    np.testing.assert_array_equal(out[0], [[2.5, 4.5], [10.5, 12.5]])


def test_rebin_of_an_indivisible_side(images):
    with pytest.raises(DataError, match=r"v: step 1 \(rebin\): stamps of 16 px .* by 3"):
        apply_chain(images, [Rebin(factor=3)], RMS, "v")


def test_divide(images):
    np.testing.assert_allclose(apply_chain(images, [Divide(by=255)], RMS), images / 255, rtol=1e-6)


def test_noise_asinh_is_invertible_and_the_same_for_all_stamps(images):
    out = apply_chain(images, [NoiseAsinh(softening=3)], RMS)
    np.testing.assert_allclose(np.sinh(out) * 3 * RMS, images, rtol=1e-5)


def test_noise_asinh_uses_each_surveys_own_noise(images):
    deep = apply_chain(images / 4, [NoiseAsinh()], RMS / 4)
    np.testing.assert_allclose(deep, apply_chain(images, [NoiseAsinh()], RMS), rtol=1e-5)


def test_noise_scale_survives_division_and_is_that_of_input_pixels_after_rebinning(images):
    plain = apply_chain(images, [Rebin(factor=2), NoiseAsinh()], RMS)
    divided = apply_chain(images, [Divide(by=10), Rebin(factor=2), NoiseAsinh()], RMS)
    np.testing.assert_allclose(divided, plain, rtol=1e-5)
    blocks = images.reshape(5, 8, 2, 8, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(plain, np.arcsinh(blocks / (3 * RMS)), rtol=1e-5)


def test_noise_asinh_needs_noise(images):
    needs = r"\(noise_asinh\): needs noise to scale by, but the st"
    for rms in (0.0, None):
        with pytest.raises(DataError, match=f"step 1 {needs}amps have no pixel_rms above 0"):
            apply_chain(images, [NoiseAsinh()], rms)
    for nonlinear in (IntervalStep(), Peak(), Contrast(), NoiseAsinh()):
        before = f"step 2 {needs}ep '{nonlinear.step}' before it leaves none"
        with pytest.raises(DataError, match=before):
            apply_chain(images, [nonlinear, NoiseAsinh()], RMS)


def test_a_stretch_needs_an_interval(images):
    with pytest.raises(DataError, match=r"step 1 \(stretch\): the stretch 'log' needs an interval"):
        apply_chain(images, [Stretch(kind="log")], RMS)


@pytest.mark.parametrize("kind", ["minmax", "zscale"])
def test_intervals_scale_each_stamp(images, kind):
    images[2] *= 100
    out = apply_chain(images, [IntervalStep(kind=kind)], RMS)
    np.testing.assert_array_equal(out.min(axis=(1, 2)), 0)
    np.testing.assert_array_equal(out.max(axis=(1, 2)), 1)


def test_minmax_is_linear(images):
    out = apply_chain(images, [IntervalStep()], RMS)
    one = images[0]
    np.testing.assert_allclose(out[0], (one - one.min()) / np.ptp(one), atol=1e-6)


def test_manual_interval_clips():
    image = np.array([[[-1.0, 0.0], [1.0, 9.0]]])
    out = apply_chain(image, [IntervalStep(kind="manual", low=0, high=4)], RMS)
    np.testing.assert_array_equal(out[0], [[0, 0], [0.25, 1]])


@pytest.mark.parametrize("kind", ["minmax", "zscale"])
def test_flat_stamp_becomes_zero(kind):
    flat = np.full((2, 16, 16), 0.7)
    out = apply_chain(flat, [IntervalStep(kind=kind), Stretch(kind="log")], RMS)
    np.testing.assert_array_equal(out, 0)


@pytest.mark.parametrize(
    ("stretch", "expected"),
    [
        (Stretch(kind="linear"), lambda x: x),
        (Stretch(kind="sqrt"), np.sqrt),
        (Stretch(kind="power"), lambda x: x**2),
        (Stretch(kind="power", a=0.3), lambda x: x**0.3),
        (Stretch(kind="log", a=500), lambda x: np.log(500 * x + 1) / np.log(501)),
        (Stretch(kind="asinh", a=0.1), lambda x: np.arcsinh(x / 0.1) / np.arcsinh(10)),
        (Stretch(kind="sinh", a=0.5), lambda x: np.sinh(x / 0.5) / np.sinh(2)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_stretches(images, stretch, expected):
    unit = apply_chain(images, [IntervalStep()], RMS)
    out = apply_chain(images, [IntervalStep(), stretch], RMS)
    np.testing.assert_allclose(out, expected(unit.astype(float)), atol=2e-6)


def test_not_finite_names_chain_and_step():
    huge = np.full((1, 16, 16), 1e30)
    with pytest.raises(DataError, match=r"bright: step 2 \(divide\) gives values .* not finite"):
        apply_chain(huge, [Rebin(factor=2), Divide(by=1e-20)], RMS, "bright")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntervalStep(kind="manual", low=1, high=1), "low below high"),
        (lambda: IntervalStep(kind="manual"), "needs low and high"),
        (lambda: IntervalStep(low=0), "belong to the manual interval"),
        (lambda: Stretch(kind="sqrt", a=2), "takes no parameter a"),
        (lambda: Stretch(kind="asinh", a=2), r"needs a in \(0, 1\]"),
    ],
)
def test_impossible_steps_are_refused_by_the_configuration(make, message):
    with pytest.raises(ValidationError, match=message):
        make()


def test_variant_joins_shards_and_carries_the_table(tmp_path, images, monkeypatch):
    monkeypatch.setattr(chain, "_BATCH", 2)
    paths = [
        write(tmp_path / "a.h5", images[:3]),
        write(tmp_path / "b.h5", images[3:], first=3),
    ]
    steps = [Rebin(factor=2), NoiseAsinh()]
    make_variant(paths, steps, tmp_path / "v.h5", {"code": "x"})
    with StampSet(tmp_path / "v.h5") as out, StampSet(paths) as source:
        pd.testing.assert_frame_equal(out.table, source.table)
        expected = apply_chain(source.images(), steps, RMS)
        np.testing.assert_array_equal(out.images(), expected)
        assert out.metadata["pixel_scale"] == pytest.approx(0.12)
        assert out.metadata["label_pixel_scale"] == 0.06
        assert out.metadata["variant_steps"] == [
            {"step": "rebin", "factor": 2},
            {"step": "noise_asinh", "softening": 3.0},
        ]
        assert out.metadata["provenance"] == {"code": "x"}
        assert out.metadata["input_provenance"] == {"made": "here"}
        assert out.unit == ""


def test_peak_sets_negatives_to_zero_and_the_brightest_pixel_to_one():
    images = np.array([[[-2.0, 4.0], [1.0, 2.0]], [[-1.0, -3.0], [-0.5, 0.0]]])
    out = apply_chain(images, [Peak()], None)
    np.testing.assert_array_equal(out, [[[0, 1], [0.25, 0.5]], [[0, 0], [0, 0]]])


def test_contrast_is_over_the_background_whatever_the_exposure():
    images = np.zeros((3, 4, 4))
    images[0, :2] = 2.0
    images[0, 0, 0] = 200.0
    images[1] = images[0] / 7
    out = apply_chain(images, [Contrast(floor=0.05)], None)
    assert out[0, 0, 0] == pytest.approx(2)
    assert out[0, 1, 1] == pytest.approx(0)
    np.testing.assert_allclose(out[0, 2:], np.log10(0.05), rtol=1e-6)
    np.testing.assert_allclose(out[1], out[0], rtol=1e-6)
    np.testing.assert_allclose(out[2], np.log10(0.05), rtol=1e-6)


def test_masks_are_rebinned_with_their_stamps(tmp_path):
    images, masks = np.zeros((3, 4, 4), np.float32), np.zeros((3, 4, 4), bool)
    masks[1, 0, 3] = True
    table = pd.DataFrame({"id": range(3), "split": "train"})
    known = {"pixel_scale": 1, "zero_point": None, "band": "", "domain": "simulated"}
    write_stamps(tmp_path / "a.h5", [(images, masks)], table, known, masks=True)
    make_variant([tmp_path / "a.h5"], [Rebin(factor=2)], tmp_path / "v.h5", {})
    with StampSet(tmp_path / "v.h5") as out:
        assert np.argwhere(out.masks()).tolist() == [[1, 0, 1]]


def test_rebinning_alone_keeps_the_unit(tmp_path, images):
    make_variant([write(tmp_path / "a.h5", images)], [Rebin(factor=2)], tmp_path / "v.h5", {})
    assert StampSet(tmp_path / "v.h5").unit == "electron/s"


def test_bad_input_leaves_nothing_behind(tmp_path, images):
    path = write(tmp_path / "a.h5", images, rms=None)
    with pytest.raises(DataError, match="no pixel_rms above 0"):
        make_variant([path], [NoiseAsinh()], tmp_path / "v.h5", {})
    with pytest.raises(DataError, match=r"v.h5: step 1 \(rebin\)"):
        make_variant([write(path, images)], [Rebin(factor=5)], tmp_path / "v.h5", {})
    with pytest.raises(DataError, match=r"absent.h5: no such stamp set"):
        make_variant([tmp_path / "absent.h5"], [], tmp_path / "v.h5", {})
    assert [one.name for one in tmp_path.iterdir()] == ["a.h5"]
