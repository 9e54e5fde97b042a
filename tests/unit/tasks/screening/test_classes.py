"""OBS_CLASS by its definition, and back from predicted maps."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.core.errors import DataError
from galadapt.tasks.screening.classes import CLASSES, obs_class_of_fraction, pixels_of_class


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
