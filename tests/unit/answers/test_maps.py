"""Flagged shares and how sure they are, from maps."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.answers.maps.area import beyond, flagged_share
from galadapt.core.errors import DataError


def test_the_share_is_of_the_exposed_area() -> None:
    maps = np.zeros((3, 8, 8))
    maps[0, :2] = 0.9
    maps[1, 0, 0] = 0.6
    maps[2] = 1
    shares = flagged_share(maps, np.array([0.5, 0.25, 0.5]))
    assert shares.tolist() == [0.5, 1 / 16, 1.0]


def test_a_failed_map_has_no_answer() -> None:
    maps = np.zeros((2, 4, 4))
    maps[1, 2, 2] = np.nan
    exposed = np.array([0.5, 0.5])
    assert np.isnan(flagged_share(maps, exposed)).tolist() == [False, True]
    assert np.isnan(beyond(maps, exposed, [0.0, 0.1])[:, 0]).tolist() == [False, True]


def test_a_spot_is_surer_than_a_glow() -> None:
    glow, spot = np.full((40, 40), 0.1), np.full((40, 40), 0.01)
    spot[10:13, 10:13] = 0.8
    maps, exposed = np.stack([glow, spot]), np.array([0.5, 0.5])
    # One per cent of 800 exposed pixels are 8 pixels; for nothing at all, one pixel counts.
    assert beyond(maps, exposed, [0.0, 0.01])[1] == pytest.approx([0.8, 0.8])
    assert beyond(maps, exposed, [0.02])[1] == pytest.approx([(9 * 0.8 + 7 * 0.01) / 16])
    assert beyond(maps, exposed, [0.01])[0] == pytest.approx([0.1])


def test_larger_shares_are_never_surer() -> None:
    maps = np.random.default_rng(1).random((5, 20, 20))
    found = beyond(maps, np.full(5, 0.7), [0.0, 1e-3, 1e-2, 0.1, 1.0])
    assert (np.diff(found, axis=1) <= 1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_no_map_has_no_answer() -> None:
    nothing, area = np.empty((0, 4, 4)), np.empty(0)
    assert flagged_share(nothing, area).shape == (0,)
    assert beyond(nothing, area, [0.0, 0.1]).shape == (0, 2)


@pytest.mark.parametrize("of", [flagged_share, lambda maps, area: beyond(maps, area, [0.1])])
def test_maps_and_areas_must_agree(of) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=r"give \(n, H, W\) and \(n,\)"):
        of(np.zeros((2, 4, 4)), np.array([0.5]))
    with pytest.raises(DataError, match="above 0 and at most 1"):
        of(np.zeros((1, 4, 4)), np.array([0.0]))
