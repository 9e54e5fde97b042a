"""Training of the network for any image: what is continued, and what the end phase adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from galadapt.config.general import General, GeneralTraining
from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError, DataError
from galadapt.general import run
from galadapt.general.inputs import prepare
from galadapt.general.package import NETWORK, RELEASED, read
from galadapt.learners.keras import backend

if TYPE_CHECKING:
    from galadapt.general.train import Trainer

CHECKPOINT, ENDED = "checkpoint.npz", "ended.npz"

#: Two steps per set of galaxies; the loss changes within the second set.
TINY = General(
    training=GeneralTraining(
        batch=8, group=8, mixed=1, passes=2, warm_up=3, learning_rate=0.1, end_steps=2
    )
)


def trainer(settings: General, folder: Path) -> Trainer:
    # Keras must not be imported before its backend is chosen.
    backend.prepare(Compute())
    from galadapt.general.train import Trainer

    return Trainer(settings, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of one set, stopped, and continued for another."""
    folder = tmp_path_factory.mktemp("training")
    trainer(TINY, folder).run(2, None)
    trainer(TINY, folder).run(2, None)
    return folder


def test_a_continued_training_equals_an_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    trainer(TINY, tmp_path).run(4, None)
    with np.load(folder / CHECKPOINT) as one, np.load(tmp_path / CHECKPOINT) as other:
        assert set(one) == set(other)
        for name in set(one) - {"state"}:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_the_end_phase_leaves_the_checkpoint_and_gives_the_network(folder: Path) -> None:
    before = (folder / CHECKPOINT).read_bytes()
    trainer(TINY, folder).run(None, None, end=True)
    assert (folder / CHECKPOINT).read_bytes() == before
    network = trainer(TINY, folder).ended()
    with np.load(folder / ENDED) as ended:
        for k, weight in enumerate(network.get_weights()):
            np.testing.assert_array_equal(weight, ended[f"average_{k}"])


def test_checkpoints_of_other_settings_or_damaged_ones_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    training = TINY.training.model_copy(update={"seed": 2})
    with pytest.raises(ConfigError, match="begun with other settings"):
        trainer(TINY.model_copy(update={"training": training}), folder)
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="remove it to begin again"):
        trainer(TINY, tmp_path)


def test_a_training_starts_from_the_released_network(folder: Path, tmp_path: Path) -> None:
    training = TINY.training.model_copy(update={"start": "released", "learning_rate": 1e-9})
    further = trainer(TINY.model_copy(update={"training": training}), tmp_path)
    stamps = next(iter(further.simulator.batches(9)))
    drawn = prepare(stamps.images, stamps.valid, stamps.psfs, stamps.psf_index)
    given = [np.resize(one, (run.BATCH, *one.shape[1:])) for one in drawn[:3]]
    outputs, _ = run.opened(RELEASED / NETWORK)(*given)
    # As a batch of a training: the normalisation must not follow it.
    np.testing.assert_allclose(further.model(given, training=True), outputs, atol=1e-3)
    further.run(2, None)
    np.testing.assert_allclose(further.averaged()(given), outputs, atol=1e-3)
    assert further.progress["start"]["digest"] == read(RELEASED).record.network_digest
    # Neither continues the other's training.
    with pytest.raises(ConfigError, match="begun with other settings"):
        trainer(TINY, tmp_path)


def test_a_start_that_is_no_package_is_refused(tmp_path: Path) -> None:
    training = TINY.training.model_copy(update={"start": str(tmp_path)})
    with pytest.raises(DataError, match=r"package\.json: missing"):
        trainer(TINY.model_copy(update={"training": training}), tmp_path)
