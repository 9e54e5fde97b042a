"""OBS_CLASS by its definition, and back from predicted maps."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.errors import DataError
from galadapt.screening.classes import (
    CLASSES,
    fraction_of_maps,
    obs_class_of_fraction,
    pixels_of_class,
    score_of_maps,
)


def test_bounds_belong_to_the_upper_class() -> None:
    shares = [0, 1e-9, 0.00099, 0.001, 0.0099, 0.01, 0.099, 0.1, 0.999, 1.0]
    assert obs_class_of_fraction(np.array(shares)).tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert int(obs_class_of_fraction(0.05)) == 3


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(DataError, match="between 0 and 1; divide"):
        obs_class_of_fraction(share)


@pytest.mark.parametrize("exposed", [11_000, 9_973, 2_475, 1_000, 700])
def test_pixels_make_their_class_and_one_more_does_not(exposed: int) -> None:
    for number in range(1, 5):
        fewest, most = pixels_of_class(number, exposed)
        if most < fewest:
            assert number == 1 and exposed <= 1_000
            continue
        made = obs_class_of_fraction(np.array([fewest - 1, fewest, most, most + 1]) / exposed)
        assert made[1] == made[2] == number
        assert made[0] < number < made[3]
    assert pixels_of_class(0, exposed) == (0, 0)
    assert pixels_of_class(len(CLASSES) - 1, exposed) == (exposed, exposed)


def test_fraction_of_maps_is_of_the_exposed_area_at_any_binning() -> None:
    maps = np.zeros((2, 8, 8))
    maps[0, :2] = 0.9
    maps[1, 0, 0] = 0.6
    exposed = np.array([0.5, 0.25])
    assert fraction_of_maps(maps, exposed).tolist() == [0.5, 1 / 16]
    coarse = maps.reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
    assert fraction_of_maps(coarse, exposed)[0] == 0.5
    expected = fraction_of_maps(maps, exposed, None)
    assert expected == pytest.approx([0.45, 0.6 / 16])
    # More than the field cannot be flagged.
    assert fraction_of_maps(np.ones((1, 4, 4)), np.array([0.5])).tolist() == [1.0]


def test_a_failed_map_has_no_fraction() -> None:
    maps = np.zeros((2, 4, 4))
    maps[1, 2, 2] = np.nan
    for threshold in (0.5, None):
        shares = fraction_of_maps(maps, np.array([0.5, 0.5]), threshold)
        assert shares[0] == 0
        assert np.isnan(shares[1])


def test_maps_and_areas_must_agree() -> None:
    with pytest.raises(DataError, match=r"give \(n, H, W\) and \(n,\)"):
        fraction_of_maps(np.zeros((2, 4, 4)), np.array([0.5]))
    with pytest.raises(DataError, match="above 0 and at most 1"):
        fraction_of_maps(np.zeros((1, 4, 4)), np.array([0.0]))


def test_a_spot_scores_above_a_glow() -> None:
    glow, spot = np.full((40, 40), 0.1), np.full((40, 40), 0.01)
    spot[10:13, 10:13] = 0.8
    maps, exposed = np.stack([glow, spot]), np.array([0.5, 0.5])
    assert np.diff(fraction_of_maps(maps, exposed, None)) < 0
    # One per cent of 800 exposed pixels are 8 pixels.
    assert score_of_maps(maps, exposed) == pytest.approx([0.1, 0.8])
    assert score_of_maps(maps, exposed, 0.02)[1] == pytest.approx((9 * 0.8 + 7 * 0.01) / 16)
    # However small the share, the brightest pixel counts.
    assert score_of_maps(maps, exposed, 1e-6) == pytest.approx([0.1, 0.8])
    maps[0, 0, 0] = np.nan
    assert np.isnan(score_of_maps(maps, exposed)[0])
    with pytest.raises(DataError, match="above 0 and at most 1"):
        score_of_maps(maps, np.array([0.5, 0.0]))
