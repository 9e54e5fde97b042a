"""An independent fitter finds what the simulator was given; `benchmarks` fits many more."""

import importlib.util

import pytest


@pytest.fixture(scope="module")
def recovery(repository):
    path = repository / "benchmarks" / "simulation" / "recovery.py"
    spec = importlib.util.spec_from_file_location("recovery", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_noiseless_stamps_give_their_parameters_back(recovery):
    worst = recovery.recover(4, "none").abs().max()
    # The fit's own sampling of the profile, five times per pixel, is what is left.
    assert worst["magnitude"] < 0.005
    assert worst["effective_radius"] < 0.005
    assert worst["sersic_index"] < 0.02
    assert worst["ellipticity"] < 0.001
    assert worst["position_angle"] < 0.05
    assert worst[["x_offset", "y_offset"]].max() < 0.005


def test_noise_adds_scatter_and_no_bias(recovery):
    errors = recovery.recover(6, "deep")
    assert errors["magnitude"].abs().max() < 0.05
    assert errors["effective_radius"].abs().max() < 0.05
    assert errors["ellipticity"].abs().max() < 0.03
    assert errors["sersic_index"].abs().max() > 1e-3
