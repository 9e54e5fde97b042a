"""The fusion is trained on what the recipe draws, refined as users' galaxies are."""

from __future__ import annotations

import numpy as np

from galadapt.config.general import General
from galadapt.fitting.fusion import Fusion
from galadapt.general import fuse, run
from galadapt.general.package import Calibration


def blind(
    centre: np.ndarray, field: np.ndarray, scalars: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A network that always answers with the middle of what it was trained on."""
    count = len(centre)
    return np.zeros((count, run.OUTPUTS), np.float32), np.zeros((count, 2), np.float32)


def test_the_fusion_of_a_blind_network_follows_the_pixels() -> None:
    recipe = General()
    training = recipe.training.model_copy(update={"batch": 24, "group": 12, "mixed": 2})
    draws = recipe.draws.model_copy(update={"crowded": 0.3, "composite": 0.0})
    recipe = recipe.model_copy(update={"training": training, "draws": draws})
    calibration = Calibration(ln_flux=(0.0, 20.0), factors=((1.0,) * 8,) * 2)
    fusion, test = fuse.fusion_of(blind, recipe, calibration, 1)
    value, error, *_ = fusion(test.given)
    assert np.isfinite(value).all() and (error > 0).all()
    off = [np.abs(one - test.truth).mean(axis=0) for one in (test.given.network, value)]
    # Flux, radius and index of a network without eyes.
    assert (off[1][:3] < 0.7 * off[0][:3]).all()
    again = Fusion.from_dict(fusion.to_dict())
    np.testing.assert_allclose(again(test.given)[0], value, atol=0.02)
    assert {*fuse.SEEDS.values()}.isdisjoint({9101, 9202, training.seed})
