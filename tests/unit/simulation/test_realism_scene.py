"""Realism through the engine: determinism, independence of the ingredients, what is stored."""

import itertools

import numpy as np
import pandas as pd
import pytest

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.realism import (
    Archive,
    BulgeDisc,
    Clumps,
    Edges,
    IsophoteBox,
    Masks,
    Neighbours,
    OverSubtraction,
    PsfJitter,
    Realism,
    SkyResidual,
    Spiral,
    Strength,
)
from galadapt.config.simulation import LogUniform, Noise, Priors, Simulation, Uniform
from galadapt.core.errors import ConfigError
from galadapt.simulation.engine import simulate_shard
from galadapt.simulation.psf import make_psf
from galadapt.simulation.realism import scene
from galadapt.simulation.realism.scene import COMPOSITION
from galadapt.simulation.renderers import make_renderer
from galadapt.simulation.streams import PURPOSES
from galadapt.stamps.format import StampSet
from galadapt.tasks.reading import validate

IMAGE = Image(stamp_size=32)
PSF = GaussianPsf(fwhm=0.2)
INGREDIENTS = {
    "bulge_disc": BulgeDisc(),
    "clumps": Clumps(fraction=Strength(low=0.2, high=0.4)),
    "spiral": Spiral(amplitude=Strength(low=0.3, high=0.6)),
    "neighbours": Neighbours(density=Strength(low=500, high=900)),
    "psf": PsfJitter(blur=Strength(low=0.03, high=0.06)),
    "depth": Strength(low=0.5, high=2.0),
    "sky": SkyResidual(),
    "archive": Archive(
        box=IsophoteBox(),
        masks=Masks(),
        over_subtraction=OverSubtraction(),
        edges=Edges(probability=0.3),
    ),
}
ALL = Realism(**INGREDIENTS)


def simulation(realism, **changes):
    return Simulation(
        n_train=90,
        n_validation=8,
        n_test=8,
        sersic_index_step=0.5,
        priors=Priors(
            magnitude=Uniform(low=19, high=23),
            effective_radius=LogUniform(low=1.5, high=8),
            sersic_index=Uniform(low=0.5, high=3),
            ellipticity=Uniform(low=0, high=0.8),
        ),
        realism=realism,
        **changes,
    )


def simulate(path, realism, start=60, stop=84, **changes):
    settings = simulation(realism, **changes)
    simulate_shard(IMAGE, PSF, settings, 11, start, stop, path, {})
    return StampSet(path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("plain") / "s.h5", Realism())


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("all") / "s.h5", ALL)


def test_sharding_and_chunks_do_not_change_a_byte(tmp_path, everything, monkeypatch):
    monkeypatch.setattr(scene, "_CHUNK", 3)
    # 64 is where a block of fits ends.
    cuts = [60, 63, 71, 84]
    shards = [simulate(tmp_path / f"{a}.h5", ALL, a, b) for a, b in itertools.pairwise(cuts)]
    images = np.concatenate([shard.images() for shard in shards])
    assert images.tobytes() == everything.images().tobytes()
    table = pd.concat([shard.table for shard in shards], ignore_index=True)
    pd.testing.assert_frame_equal(table, everything.table, check_exact=True)


def test_switched_off_is_as_before(tmp_path, plain):
    assert not Realism().active
    assert list(plain.table)[-1] == "signal_to_noise"
    assert not set(COMPOSITION) & set(plain.table)
    # An ingredient without strength changes no pixel: its machinery adds nothing of its own.
    idle = Realism(archive=Archive(edges=Edges(probability=0.0)))
    np.testing.assert_array_equal(simulate(tmp_path / "s.h5", idle).images(), plain.images())


@pytest.mark.parametrize("name", sorted(INGREDIENTS))
def test_each_ingredient_changes_stamps_and_no_draw_of_another(tmp_path, plain, everything, name):
    alone = simulate(tmp_path / "one.h5", Realism(**{name: INGREDIENTS[name]} | needs(name)))
    assert (alone.images() != plain.images()).any(axis=(1, 2)).mean() > 0.2
    geometry = ["ellipticity", "position_angle", "x_offset", "y_offset"]
    pd.testing.assert_frame_equal(alone.table[geometry], plain.table[geometry])
    for column in {"pixel_rms", *COMPOSITION} & set(alone.table):
        np.testing.assert_array_equal(alone.table[column], everything.table[column])


def needs(name):
    # Masks need something to mask.
    return {"neighbours": INGREDIENTS["neighbours"]} if name == "archive" else {}


def test_table_of_composites_and_depths(everything):
    table = everything.table
    composite = table["bulge_fraction"] > 0
    assert 0.2 < composite.mean() < 0.9
    assert (table.loc[~composite, "magnitude"] == table.loc[~composite, "total_magnitude"]).all()
    assert (table["pixel_rms"] / 0.0051).between(0.5, 2.0).all()
    assert everything.metadata["pixel_rms"] == 0.0051


def test_signal_to_noise_counts_the_galaxys_own_light(tmp_path):
    alone = simulate(tmp_path / "a.h5", Realism(depth=Strength(low=2, high=2 + 1e-9)))
    crowded = Realism(depth=Strength(low=2, high=2 + 1e-9), neighbours=INGREDIENTS["neighbours"])
    beside = simulate(tmp_path / "b.h5", crowded)
    np.testing.assert_allclose(
        beside.table["signal_to_noise"], alone.table["signal_to_noise"], rtol=1e-12
    )
    plain = simulate(tmp_path / "c.h5", Realism())
    np.testing.assert_allclose(
        alone.table["signal_to_noise"], plain.table["signal_to_noise"] / 2, rtol=1e-6
    )


def test_neighbours_add_light_and_masks_take_it_away(tmp_path):
    none = {"noise": Noise(source_poisson=False, pixel_rms=1e-6)}
    crowd = INGREDIENTS["neighbours"]
    single = simulate(tmp_path / "a.h5", Realism(), **none).images().sum(axis=(1, 2))
    crowded = simulate(tmp_path / "b.h5", Realism(neighbours=crowd), **none)
    masked = simulate(
        tmp_path / "c.h5", Realism(neighbours=crowd, archive=Archive(masks=Masks())), **none
    )
    added = crowded.images().sum(axis=(1, 2)) - single
    assert (added > 0.01).mean() > 0.8
    assert masked.images().sum() < 0.95 * crowded.images().sum()
    assert (masked.images() <= crowded.images() + 1e-4).all()


def test_a_neighbour_outside_the_stamp_leaves_only_its_wings():
    """Renderers work on periodic grids: no copy of it may appear on the other side."""
    row = {
        "magnitude": 20.0,
        "effective_radius": 3.0,
        "sersic_index": 1.0,
        "ellipticity": 0.3,
        "position_angle": 20.0,
        "x_offset": 24.0,
        "y_offset": -3.0,
    }
    psf = make_psf(PSF, IMAGE.pixel_scale)
    kind = Simulation.model_fields["renderer"].default
    stamp = make_renderer(IMAGE, psf, kind).render(row)
    wide = make_renderer(Image(stamp_size=128), psf, kind).render(row)
    np.testing.assert_allclose(stamp, wide[48:80, 48:80], atol=2e-4)


def test_box_leaves_noise_outside(tmp_path, plain):
    cut = simulate(tmp_path / "s.h5", Realism(archive=Archive(box=IsophoteBox())))
    gone = plain.images() - cut.images()
    # The same noise stream, up to the photon noise of what is gone.
    assert gone.sum() > 0
    assert np.median(np.abs(gone[:, 12:20, 12:20])) < 1e-4


@pytest.mark.parametrize(("fill", "zeros"), [("zero", True), ("noise", False)])
def test_missing_edge_is_filled_as_asked(tmp_path, fill, zeros):
    edges = Edges(probability=1.0, width=Strength(low=0.25, high=0.25 + 1e-9), fill=fill)
    images = simulate(tmp_path / "s.h5", Realism(archive=Archive(edges=edges))).images()
    exact = (images == 0).sum(axis=(1, 2))
    assert (exact == (8 * 32 if zeros else 0)).all()


def test_composites_without_noise_still_have_labels(tmp_path):
    stamps = simulate(tmp_path / "s.h5", Realism(bulge_disc=BulgeDisc()), noise=Noise(depth="none"))
    assert np.isfinite(stamps.table["sersic_index"]).all()
    assert (stamps.table["bulge_fraction"] > 0).any()


def test_purposes_of_streams_are_distinct():
    assert len(set(PURPOSES.values())) == len(PURPOSES)


BAD = [
    ({"bulge_disc": {"bulge_index": [0.2, 4]}}, "bulge_index: [0.2, 4] must lie inside [0.3, 6.2]"),
    ({"bulge_disc": {"bulge_fraction": [0.5, 1.5]}}, "bulge_fraction: [0.5, 1.5] must lie inside"),
    ({"clumps": {"fraction": [0.5, 0.1]}}, "low 0.5 must be below high 0.1"),
    ({"clumps": {"fraction": [0.0, 1.0]}}, "fraction: [0, 1] must lie inside [0, 0.9]"),
    ({"spiral": {"amplitude": [-0.5, 0.5]}}, "amplitude: [-0.5, 0.5] must lie inside [0, 1]"),
    ({"spiral": {"pitch": [0, 20]}}, "pitch: [0, 20] must lie inside [2, 80]"),
    ({"neighbours": {"density": [-1, 20]}}, "density: [-1, 20] must lie inside"),
    ({"neighbours": {"bright_limit": 26}}, "bright_limit 26 must be below faint_limit 25.5"),
    ({"psf": {"blur": [-0.1, 0.1]}}, "blur: [-0.1, 0.1] must lie inside [0, 2]"),
    ({"psf": {"ellipticity": [0, 0.9]}}, "ellipticity: [0, 0.9] must lie inside [0, 0.5]"),
    ({"depth": [0, 1]}, "depth: [0, 1] must lie inside [0.1, 10]"),
    ({"archive": {"masks": {}}}, "archive.masks: there is nothing to mask; add neighbours"),
    ({"archive": {"edges": {"width": [0, 0.9]}}}, "width: [0, 0.9] must lie inside [0, 0.5]"),
    ({"archive": {"box": {"kind": "round"}}}, "no kind 'round'"),
    ({"archive": {"box": {"kind": "ratio", "median": 0}}}, "greater than or equal to 0.3"),
    ({"clumsp": {}}, "unknown key; did you mean 'clumps'?"),
]


@pytest.fixture(scope="module")
def values(repository):
    import yaml

    return yaml.safe_load((repository / "config" / "config.yaml").read_text())


@pytest.mark.parametrize(("realism", "message"), BAD, ids=lambda part: str(part)[:40])
def test_bad_strength_is_one_sentence(values, realism, message):
    changed = {**values, "simulation": {**values["simulation"], "realism": realism}}
    with pytest.raises(ConfigError) as caught:
        validate(changed, "test.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "realism",
    [
        {"depth": [0.8, 1.2]},
        {"sky": {}},
        {"neighbours": {}, "archive": {"masks": {}}},
    ],
)
def test_units_of_noise_need_noise(values, realism):
    simulated = {**values["simulation"], "noise": {"depth": "none"}, "realism": realism}
    with pytest.raises(ConfigError, match=r"noise.depth: none leaves realism.depth"):
        validate({**values, "simulation": simulated}, "test.yaml")
