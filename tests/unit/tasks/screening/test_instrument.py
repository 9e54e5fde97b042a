"""The cameras: areas, modes, directions, photons."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.tasks.screening.instrument import (
    FIELD_RADIUS,
    READOUT_LENGTH,
    Grid,
    draw_offsets,
    look,
    point_source,
    readout_streak,
    vignetting,
    wing_level,
)

GRID = Grid(132, 16 / 60, (0.0, 0.0), 2)


def _area(share: np.ndarray) -> float:
    return float(share.sum() * GRID.area)


def test_field_areas() -> None:
    circle = np.pi * FIELD_RADIUS**2
    pn = _area(look("pn", "full", (), 0.3, GRID, False).inside)
    mos = _area(look("mos1", "full", (), 0.3, GRID, False).inside)
    # pn's array is smaller than its field of view in one direction and has gaps and dead columns.
    assert 0.80 * circle < pn < 0.90 * circle
    assert 0.90 * circle < mos < 0.96 * circle
    one = _area(look("mos1", "full", (6,), 0.3, GRID, False).inside)
    two = _area(look("mos1", "full", (6, 3), 0.3, GRID, False).inside)
    assert mos - one == pytest.approx(one - two, rel=0.05)
    assert 0.08 < (mos - one) / mos < 0.2


def test_modes_read_less() -> None:
    full, large, small = (
        _area(look("pn", mode, (), 0.0, GRID, False).inside) for mode in ("full", "large", "small")
    )
    assert 0.5 * full < large < 0.62 * full
    assert small == pytest.approx(4.3 * 4.3, rel=0.12)
    mos = [_area(look("mos2", m, (), 0.0, GRID, False).inside) for m in ("full", "large", "small")]
    assert mos[0] - mos[1] == pytest.approx(11**2 * 3 / 4, rel=0.05)
    assert mos[0] - mos[2] == pytest.approx(11**2 * 35 / 36, rel=0.05)


def test_an_angle_turns_the_chips_but_not_their_area() -> None:
    upright = look("pn", "large", (), 0.0, GRID, False)
    turned = look("pn", "large", (), np.pi / 2, GRID, False)
    assert _area(turned.inside) == pytest.approx(_area(upright.inside), rel=0.01)
    assert np.corrcoef(turned.inside.ravel(), np.rot90(upright.inside, -1).ravel())[0, 1] > 0.9
    # At 90 deg, x grows with -v and y with u.
    u, v = turned.to_detector(np.asarray(2.0), np.asarray(3.0))
    assert (u, v) == pytest.approx((3.0 + 1.7, -2.0 + 0.85))


def test_outside_the_field_of_view_only_on_request() -> None:
    hidden = look("pn", "full", (), 0.0, GRID, False)
    shown = look("pn", "full", (), 0.0, GRID, True)
    assert np.array_equal(hidden.covered, hidden.inside)
    assert np.array_equal(shown.inside, hidden.inside)
    assert _area(shown.covered) > _area(shown.inside) + 5


def test_real_gaps_of_pn(galadapt_data) -> None:  # type: ignore[no-untyped-def]
    """The chip map leaves empty what is empty in the real images, and nothing else."""
    from astropy.io import fits

    files = sorted((galadapt_data / "xmm_epic").glob("*.fits"))
    empty = sum(fits.getdata(file).astype(float) for file in files) == 0
    fine = Grid(420, 4 / 60, (-1.7, -0.85), 1)
    view = look("pn", "full", (), 0.0, fine, True)
    shape = empty.shape
    top, left = (420 - shape[0]) // 2, (420 - shape[1]) // 2
    gaps = view.covered[top : top + shape[0], left : left + shape[1]] == 0
    columns = slice(30, 370)
    for rows in (slice(20, 195), slice(215, 390)):
        real = empty[rows, columns].mean(axis=0) > 0.7
        ours = gaps[rows, columns].mean(axis=0) > 0.7
        # A gap may lie a pixel off.
        near = real | np.roll(real, 1) | np.roll(real, -1)
        assert (ours & near).sum() >= 0.95 * ours.sum()
        assert 0.8 * real.sum() <= ours.sum() <= 1.2 * real.sum()


def test_point_source_keeps_its_photons() -> None:
    image = point_source(0.1, -0.2, 0.0, GRID)
    # What King's profile of index 1.5 holds within the grid: all but about core / radius.
    assert image.sum() == pytest.approx(1 - (5 / 60) / 17.6, abs=0.01)
    row, column = GRID.cell(np.asarray(0.1), np.asarray(-0.2))
    assert np.unravel_index(image.argmax(), image.shape) == (int(row), int(column))
    beyond = point_source(100.0, 0.0, 0.0, GRID)
    assert 0 < beyond.sum() < 0.01


def test_photons_follow_the_profile() -> None:
    rng = np.random.default_rng(3)
    x, y = draw_offsets(np.full(40_000, 8.0), np.zeros(40_000), rng)
    row, column = GRID.cell(x, y)
    counts = np.zeros((GRID.n, GRID.n))
    on = (row >= 0) & (row < GRID.n) & (column >= 0) & (column < GRID.n)
    np.add.at(counts, (row[on], column[on]), 1 / 40_000)
    image = point_source(8.0, 0.0, 0.0, GRID)
    bright = image > 2e-3
    assert counts[bright].sum() == pytest.approx(image[bright].sum(), rel=0.03)
    # Off-axis images are longer across the radius than along it.
    assert np.percentile(np.abs(y), 60) > 1.2 * np.percentile(np.abs(x - 8.0), 60)


def test_wings_and_vignetting() -> None:
    image = point_source(0.0, 0.0, 0.0, GRID) / GRID.area
    x, y = GRID.axes()
    ring = np.abs(np.hypot(x, y) - 5) < 0.3
    assert image[ring].mean() == pytest.approx(wing_level(5.0, 0.0), rel=0.05)
    assert vignetting(np.array([0.0, 10.5])).tolist() == [1.0, 0.5]


def test_a_streak_spreads_one_event_over_a_column() -> None:
    u = (np.arange(4001) - 2000) * 0.01
    across = readout_streak(u, 0.0, 0.01) * 0.01
    assert across.sum() * READOUT_LENGTH == pytest.approx(1.0, abs=0.01)
    assert u[across.argmax()] == pytest.approx(0.0, abs=1e-9)
