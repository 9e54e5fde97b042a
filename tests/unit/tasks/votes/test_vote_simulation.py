"""Simulated galaxies, telescope, volunteers, and stamp sets of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from galadapt.answers.votes.tree import Tree
from galadapt.config.base import Interval
from galadapt.core.random import generator
from galadapt.stamps.format import StampSet
from galadapt.tasks.votes.data import MockVotes, SimulatedVotes, Telescope, Volunteers
from galadapt.tasks.votes.galaxies import Scene, draw_scene
from galadapt.tasks.votes.simulate import simulate_galaxy, simulate_votes
from galadapt.tasks.votes.telescope import FRAME, Grid, Optics, colour_image
from galadapt.tasks.votes.volunteers import (
    Appearance,
    answer_probabilities,
    appearance,
    walk,
)

TREE = Tree.read("gz2")
SMALL = SimulatedVotes(n_train=66, n_validation=4, n_test=6, side=32)


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("votes") / "stamps.h5"
    simulate_votes(SMALL, "simulated", 7, path, {"stage": "test"})
    return path


def test_stamp_set(stamps: Path) -> None:
    with StampSet(stamps) as found:
        table, images = found.table, found.images()
        assert found.unit == "8-bit"
        assert found.metadata["tree"] == TREE.to_list()
        assert found.metadata["channels"] == ["red", "green", "blue"]
    assert images.shape == (76, 32, 32, 3)
    assert images.min() >= 0 and 100 < images.max() <= 255
    assert table["split"].value_counts().to_dict() == {"train": 66, "test": 6, "validation": 4}
    votes = table[[f"votes_{name}" for name in TREE.names]].to_numpy()
    chances = table[[f"true_{name}" for name in TREE.names]].to_numpy()
    assert TREE.asked(chances) == pytest.approx(np.ones((76, 11)))
    assert (votes == np.round(votes)).all()
    asked = TREE.asked(votes)
    assert 40 <= asked[:, 0].min() <= asked[:, 0].max() <= 50
    for number, parent in enumerate(TREE.parents):
        assert (asked[:, number] == (asked[:, 0] if parent is None else votes[:, parent])).all()


def test_same_bytes_in_several_processes(stamps: Path, tmp_path: Path) -> None:
    again = tmp_path / "stamps.h5"
    simulate_votes(SMALL, "simulated", 7, again, {"stage": "test"}, processes=2)
    assert again.read_bytes() == stamps.read_bytes()


def test_a_galaxy_depends_on_domain_seed_and_index_only(stamps: Path) -> None:
    with StampSet(stamps) as found:
        stored = found.images([70])[0]
    other = SMALL.model_copy(update={"n_train": 1000})
    grid = Grid(32)
    image, _, _ = simulate_galaxy(other, "simulated", 7, 70, grid, TREE)
    assert (image == stored).all()
    for domain, seed, index in (("survey", 7, 70), ("simulated", 8, 70), ("simulated", 7, 71)):
        assert (simulate_galaxy(other, domain, seed, index, grid, TREE)[0] != image).any()


def test_another_crowd_sees_the_same_images() -> None:
    grid = Grid(32)
    blind = SMALL.model_copy(update={"volunteers": Volunteers(threshold=1.5, smooth=1.0)})
    usual, others = (
        [simulate_galaxy(settings, "simulated", 0, k, grid, TREE) for k in range(12)]
        for settings in (SMALL, blind)
    )
    assert all((a[0] == b[0]).all() for a, b in zip(usual, others, strict=True))
    smooth = [np.mean([chances[0] for _, _, chances in made]) for made in (usual, others)]
    assert smooth[1] > smooth[0] + 0.1


def _point(grid: Grid) -> np.ndarray:
    light = np.zeros((grid.count, grid.count), np.float32)
    light[grid.count // 2, grid.count // 2] = 1 / grid.step**2
    return light


def _optics(side: int = 64, fwhm: float = 3.0, **telescope: object) -> Optics:
    return Optics(Telescope.model_validate(telescope), Grid(side), fwhm)


@pytest.mark.parametrize("side", [32, 64, 100])
def test_psf(side: int) -> None:
    optics = _optics(side, 3.0)
    seen = optics.blurred(_point(optics.grid))
    area = (FRAME / side) ** 2
    assert seen.shape == (side, side)
    assert seen.sum() * area == pytest.approx(1.0, abs=0.02)
    wide = optics.blurred(_point(optics.grid), 2)
    assert wide.max() < seen.max()


def test_psf_has_the_given_fwhm() -> None:
    optics = _optics(200, 6.0)
    seen = optics.blurred(_point(optics.grid))
    above = (seen > seen.max() / 2).sum() * (FRAME / 200) ** 2
    assert math.sqrt(4 * above / math.pi) == pytest.approx(6.0, rel=0.04)


def test_sersic_profile_has_its_light_inside_its_radius() -> None:
    grid = Grid(64)
    light = grid.moved(3.0, -5.0).sersic(1.0, 6.0, 0.5, 0.4) * grid.step**2
    x, y = grid.x - 3.0, grid.y + 5.0
    along, across = (
        math.cos(0.4) * x + math.sin(0.4) * y,
        (math.cos(0.4) * y - math.sin(0.4) * x) / 0.5,
    )
    assert light.sum() == pytest.approx(1.0, abs=0.01)
    assert light[np.hypot(along, across) < 6].sum() == pytest.approx(0.5, abs=0.01)


def test_noise_has_its_variance_and_correlation() -> None:
    optics = _optics(64, 4.0)
    light = np.zeros((3, 64, 64), np.float32)
    light[:, :32] = 100
    drawn = np.stack([optics.noise(light, generator(0, 1, k)) for k in range(60)])
    expected = optics.variance(light)
    assert drawn.var(axis=(0, 3)) == pytest.approx(expected.mean(axis=2), rel=0.25)
    assert drawn.var() == pytest.approx(expected.mean(), rel=0.03)
    sky = drawn[:, :, 34:62]
    measured = (sky[..., 1:] * sky[..., :-1]).mean() / (sky**2).mean()
    sharp = _optics(64, 1.0)
    assert measured > 0.5
    white = np.stack([sharp.noise(light, generator(0, 1, k)) for k in range(20)])[:, :, 34:62]
    assert (white[..., 1:] * white[..., :-1]).mean() / (white**2).mean() < measured - 0.2
    assert optics.independent > sharp.independent >= 1


def test_stretch_keeps_colours_and_range() -> None:
    telescope = Telescope(sky=[0, 0, 0], jpeg_quality=100)
    light = np.ones((3, 64, 64), np.float32) * np.array([200, 100, 50], np.float32)[:, None, None]
    red, green, blue = colour_image(light, telescope).reshape(-1, 3).mean(axis=0)
    assert red / green == pytest.approx(2, abs=0.1)
    assert green / blue == pytest.approx(2, abs=0.1)
    bright = colour_image(light * 1e4, telescope)
    assert bright[..., 0].min() > 250
    assert bright[..., 1].mean() == pytest.approx(127, abs=3)
    dark = colour_image(0 * light, Telescope(sky=[4, 4, 4]))
    assert dark.mean() == pytest.approx(4, abs=0.6)


def test_features_are_part_of_the_light() -> None:
    optics = _optics(32, 2.0)
    seen: set[str] = set()
    for index in range(150):
        scene = draw_scene(optics.grid, generator(3, 1, index))
        seen |= set(scene.features)
        assert np.isfinite(scene.light).all()
        # Transforms of what is sharper than the grid ring; what is seen does not.
        light = optics.blurred(scene.light[1])
        assert light.min() > -0.01 * light.max()
        for name in {"ring", "merger", "clumps", "irregular"} & set(scene.features):
            part = optics.blurred(scene.features[name][1])
            assert part.min() > -0.01 * part.max(), name
            assert (part < light + 0.01 * light.max()).all(), name
    assert {"arms", "bar", "ring", "clumps", "disturbed", "merger", "irregular"} <= seen


def test_the_side_of_a_stamp_changes_no_galaxy() -> None:
    for index in range(30):
        coarse, fine = (draw_scene(Grid(side), generator(5, 1, index)) for side in (32, 100))
        assert coarse.features.keys() == fine.features.keys()
        assert (coarse.ratio, coarse.pitch) == (fine.ratio, fine.pitch)
        means = [scene.light.mean() for scene in (coarse, fine)]
        assert means[0] == pytest.approx(means[1], rel=0.15)


def test_visibility_falls_with_blur_and_noise() -> None:
    grid = Grid(64)
    scene = next(
        one
        for one in (draw_scene(grid, generator(0, 1, k)) for k in range(100))
        if "arms" in one.features
    )
    seen = {}
    for name, optics in {
        "sharp": _optics(fwhm=1.2),
        "blurred": _optics(fwhm=5.0),
        "noisy": _optics(fwhm=1.2, noise=[90, 90, 90]),
    }.items():
        light = np.stack([optics.blurred(one) for one in scene.light])
        seen[name] = appearance(scene, optics, light).visibility["arms"]
    assert seen["sharp"] > 1.5 * seen["blurred"]
    assert seen["sharp"] > 1.5 * seen["noisy"]


def test_blur_rounds_what_is_thin() -> None:
    grid = Grid(64)
    scene = Scene(np.zeros((3, grid.count, grid.count), np.float32), ratio=0.2, radius=15.0)
    ratios = []
    for fwhm in (1.0, 6.0):
        optics = Optics(Telescope(), grid, fwhm)
        light = np.zeros((3, 64, 64), np.float32)
        ratios.append(appearance(scene, optics, light).ratio)
    assert 0.2 < ratios[0] < 0.25 < ratios[1] < 0.5


_PLAIN = Appearance(Scene(np.zeros(0), bulge=0.3, arms=2, pitch=0.3), {}, ratio=0.8, resolution=7.0)


def _answers(seen: Appearance, crowd: Volunteers | None = None) -> dict[str, float]:
    found = answer_probabilities(seen, crowd or Volunteers(), TREE)
    return dict(zip(TREE.names, found, strict=True))


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"visibility": {"arms": 40.0}}, "smooth-or-featured_featured-or-disk"),
        ({"visibility": {"arms": 40.0}}, "has-spiral-arms_yes"),
        ({"visibility": {"arms": 40.0}}, "spiral-arm-count_2"),
        ({"visibility": {"arms": 40.0}, "scene": {"arms": 4}}, "spiral-arm-count_4"),
        ({"visibility": {"bar": 40.0}}, "bar_yes"),
        ({"visibility": {"ring": 60.0}}, "odd-feature_ring"),
        ({"visibility": {"merger": 90.0}}, "something-odd_yes"),
        ({"visibility": {"merger": 90.0}}, "odd-feature_merger"),
        ({"visibility": {"dust": 90.0}}, "odd-feature_dust-lane"),
        ({"visibility": {"artifact": 500.0}}, "smooth-or-featured_artifact"),
        ({"ratio": 0.2}, "disk-edge-on_yes"),
        ({"ratio": 0.3}, "how-rounded_cigar-shaped"),
        ({"ratio": 0.97}, "how-rounded_round"),
        ({"scene": {"bulge": 0.9}}, "bulge-size_dominant"),
        ({"scene": {"bulge": 0.0}}, "bulge-size_none"),
        ({"scene": {"pitch": 0.6}}, "spiral-winding_loose"),
        ({"scene": {"pitch": 0.1}}, "spiral-winding_tight"),
        ({"visibility": {"bulge": 40.0}, "scene": {"boxy": True}}, "edge-on-bulge_boxy"),
    ],
)
def test_what_is_seen_is_answered(change: dict[str, Any], answer: str) -> None:
    scene = replace(_PLAIN.scene, **change.pop("scene", {}))
    assert _answers(replace(_PLAIN, scene=scene, **change))[answer] > _answers(_PLAIN)[answer] + 0.1


def test_crowds_differ() -> None:
    seen = replace(_PLAIN, visibility={"arms": 8.0})
    usual, blind = _answers(seen), _answers(seen, Volunteers(threshold=1.0))
    fond = _answers(seen, Volunteers(smooth=1.0))
    assert blind["has-spiral-arms_yes"] < usual["has-spiral-arms_yes"] - 0.1
    assert fond["smooth-or-featured_smooth"] > usual["smooth-or-featured_smooth"] + 0.1
    assert fond["has-spiral-arms_yes"] == usual["has-spiral-arms_yes"]


@pytest.mark.parametrize("concentration", [5.0, 1e6])
def test_votes_scatter_as_the_dirichlet_multinomial(concentration: float) -> None:
    chances = answer_probabilities(_PLAIN, Volunteers(), TREE)
    crowd = Volunteers(number=Interval(low=40, high=41), concentration=concentration)
    drawn = np.stack([walk(chances, crowd, TREE, generator(0, 1, k)) for k in range(3000)])
    number = TREE.asked(drawn)[:, 0]
    assert set(number) == {40, 41}
    share = drawn[:, 0] / number
    p = chances[0]
    expected = p * (1 - p) * (40.5 + concentration) / (1 + concentration) / 40.5
    assert share.mean() == pytest.approx(p, abs=0.02)
    assert share.var() == pytest.approx(expected, rel=0.12)


def test_settings() -> None:
    with pytest.raises(ValidationError, match="whole numbers"):
        Volunteers.model_validate({"number": [40.5, 50]})
    with pytest.raises(ValidationError, match="psf_fwhm"):
        Telescope.model_validate({"psf_fwhm": [0.1, 3]})
    with pytest.raises(ValidationError, match="side"):
        SimulatedVotes.model_validate({"side": 33})
    assert MockVotes().telescope != SimulatedVotes().telescope
