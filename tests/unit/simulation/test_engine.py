import itertools

import numpy as np
import pandas as pd
import pytest

from galadapt.config.image import FitsPsf, GaussianPsf, Image, PsfSet
from galadapt.config.realism import Neighbours, Realism, Strength
from galadapt.config.simulation import Noise, Priors, Simulation, Uniform
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.simulation import engine
from galadapt.simulation.engine import simulate_shard, splits
from galadapt.stamps.format import StampSet

IMAGE = Image(stamp_size=32)
PSF = GaussianPsf(fwhm=0.2)
SIMULATION = Simulation(
    n_train=10,
    n_validation=5,
    n_test=6,
    priors=Priors(
        magnitude=Uniform(low=19, high=23),
        effective_radius=Uniform(low=1.5, high=6),
        sersic_index=Uniform(low=0.5, high=2.5),
        ellipticity=Uniform(low=0, high=0.8),
    ),
)


def simulate(path, start=0, stop=21, simulation=SIMULATION, seed=11, psf=PSF):
    simulate_shard(IMAGE, psf, simulation, seed, start, stop, path, {"code": "abc"})
    return path


def test_split_boundaries():
    assert splits(SIMULATION, 0, 21).tolist() == ["train"] * 10 + ["validation"] * 5 + ["test"] * 6
    assert splits(SIMULATION, 9, 11).tolist() == ["train", "validation"]
    assert splits(SIMULATION, 14, 16).tolist() == ["validation", "test"]


def test_sharding_does_not_change_a_byte(tmp_path):
    whole = StampSet(simulate(tmp_path / "whole.h5"))
    cuts = [0, 4, 13, 21]
    shards = StampSet([simulate(tmp_path / f"{a}.h5", a, b) for a, b in itertools.pairwise(cuts)])
    assert whole.images().tobytes() == shards.images().tobytes()
    pd.testing.assert_frame_equal(whole.table, shards.table)


def test_same_settings_same_file_and_other_seed_other_images(tmp_path):
    one, two = simulate(tmp_path / "1.h5", 0, 4), simulate(tmp_path / "2.h5", 0, 4)
    assert one.read_bytes() == two.read_bytes()
    other = simulate(tmp_path / "3.h5", 0, 4, seed=12)
    assert (StampSet(other).images() != StampSet(one).images()).all()


def test_table_and_metadata(tmp_path):
    stamps = StampSet(simulate(tmp_path / "s.h5", 8, 17))
    assert stamps.table["id"].tolist() == list(range(8, 17))
    expected = ["id", "split", *PARAMETERS, "position_angle", "x_offset", "y_offset"]
    assert list(stamps.table) == [*expected, "signal_to_noise"]
    assert stamps.metadata["domain"] == "simulated"
    assert stamps.metadata["pixel_rms"] == 0.0051
    assert stamps.metadata["provenance"] == {"code": "abc"}
    assert stamps.unit == "electron/s"


def test_signal_to_noise_is_that_of_the_noiseless_image(tmp_path):
    clean = SIMULATION.model_copy(update={"noise": Noise(depth="none")})
    noiseless = StampSet(simulate(tmp_path / "clean.h5", simulation=clean))
    sky = SIMULATION.model_copy(update={"noise": Noise(source_poisson=False)})
    noisy = StampSet(simulate(tmp_path / "noisy.h5", simulation=sky))
    expected = np.sqrt(np.square(noiseless.images().astype(float)).sum(axis=(1, 2))) / 0.0051
    np.testing.assert_allclose(noisy.table["signal_to_noise"], expected, rtol=1e-5)
    assert np.isinf(noiseless.table["signal_to_noise"]).all()
    residual = noisy.images() - noiseless.images()
    assert residual.std() == pytest.approx(0.0051, rel=0.05)


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (-1, 4), (0, 22)])
def test_impossible_ranges(tmp_path, start, stop):
    with pytest.raises(DataError, match="are not a range of the 21 simulated ones"):
        simulate(tmp_path / "s.h5", start, stop)


def test_broken_psf_writes_nothing(tmp_path):
    with pytest.raises(DataError, match="no such PSF file"):
        simulate(tmp_path / "s.h5", psf=FitsPsf(path="absent.fits"))
    assert list(tmp_path.iterdir()) == []


def test_a_galaxy_that_cannot_be_drawn_is_named_and_nothing_written(tmp_path, monkeypatch):
    class Failing:
        def render_many(self, rows):
            for row in rows:
                if row["id"] == 5:
                    raise DataError("galaxy 5: too large")
                yield np.zeros((32, 32))

    monkeypatch.setattr(engine, "make_renderer", lambda *_: Failing())
    with pytest.raises(DataError, match=r"s.h5: galaxy 5: too large"):
        simulate(tmp_path / "s.h5")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_one_sentence_and_nothing_written(tmp_path):
    tight = SIMULATION.model_copy(update={"memory_limit": 0.01})
    with pytest.raises(ConfigError, match=r"simulation.memory_limit: 0.01 MiB cannot hold"):
        simulate(tmp_path / "s.h5", simulation=tight)
    assert list(tmp_path.iterdir()) == []


def test_shards_cover_every_galaxy_once():
    simulation = SIMULATION.model_copy(update={"shards": 4})
    starts = [engine.shard_start(simulation, k) for k in range(5)]
    assert starts[0] == 0
    assert starts[-1] == simulation.total == 21
    assert all(start < stop for start, stop in itertools.pairwise(starts))


def test_a_set_of_psfs_gives_each_galaxy_one_whatever_the_sharding(tmp_path):
    members = [GaussianPsf(fwhm=fwhm) for fwhm in (0.12, 0.2, 0.35)]
    several = PsfSet(members=members)
    whole = StampSet(simulate(tmp_path / "whole.h5", psf=several))
    shards = StampSet(
        [simulate(tmp_path / f"{a}.h5", a, b, psf=several) for a, b in ((0, 8), (8, 21))]
    )
    assert whole.images().tobytes() == shards.images().tobytes()
    drawn = whole.table["psf_index"].to_numpy()
    assert set(drawn) == {0, 1, 2}
    for index, member in enumerate(members):
        alone = StampSet(simulate(tmp_path / f"m{index}.h5", psf=member)).images()
        same = (whole.images() == alone).all(axis=(1, 2))
        np.testing.assert_array_equal(same, drawn == index)


def test_components_of_a_scene_share_their_galaxys_psf(tmp_path):
    realism = Realism(neighbours=Neighbours(density=Strength(low=3000.0, high=3001.0)))
    busy = SIMULATION.model_copy(update={"realism": realism, "noise": Noise(depth="none")})
    sharp, broad = GaussianPsf(fwhm=0.12), GaussianPsf(fwhm=0.35)
    several = PsfSet(members=[sharp, broad])
    both = StampSet(simulate(tmp_path / "both.h5", simulation=busy, psf=several))
    for index, member in enumerate((sharp, broad)):
        alone = StampSet(simulate(tmp_path / f"{index}.h5", simulation=busy, psf=member)).images()
        chosen = (both.table["psf_index"] == index).to_numpy()
        assert chosen.any()
        np.testing.assert_array_equal(both.images()[chosen], alone[chosen])
