"""Stamps on the device: the same training, fed by rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import assert_same_run

from galadapt.config.training import Compute, Network
from galadapt.core.errors import RunError
from galadapt.learners.job import Job
from galadapt.learners.keras import backend
from galadapt.learners.train import train
from galadapt.stamps.format import StampSet

backend.prepare(Compute())

import keras  # noqa: E402

from galadapt.learners.keras import compiling  # noqa: E402
from galadapt.learners.keras.batches import turn  # noqa: E402
from galadapt.learners.keras.compiling import oriented_each  # noqa: E402
from galadapt.learners.keras.epochs import Checkpoint  # noqa: E402

MakeJob = Callable[..., Job]

ON_DEVICE = Compute(stamps_on_device=True)
ADVERSARIAL = {
    "domains": ["simulated", "survey"],
    "alignment": {"kind": "dann", "match_labels": True},
    "augment": "all",
}
STAMPS = np.random.default_rng(1).standard_normal((9, 6, 6, 1)).astype(np.float32)


def test_tensors_turn_like_arrays() -> None:
    orientations = np.array([0, 1, 2, 3, 4, 5, 6, 7, 5])
    found = keras.ops.convert_to_numpy(oriented_each(STAMPS, orientations.astype(np.int32)))
    np.testing.assert_array_equal(found, turn(STAMPS, orientations))


def test_rows_stand_for_stamps() -> None:
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Flatten()])
    fed = compiling.fed_by_rows(model, STAMPS)
    rows, orientations = np.array([[4, 0, 4], [0, 3, 6]], np.int32)
    found = fed.predict({"row": rows, "orientation": orientations}, verbose=0)
    np.testing.assert_array_equal(found, turn(STAMPS[rows], orientations).reshape(3, 36))


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": "rotations", "n_simulated": 30},
        ADVERSARIAL,
        {**ADVERSARIAL, "alignment": {"kind": "coral"}},
    ],
    ids=["baseline", "dann", "coral"],
)
def test_the_same_bits_come_out(
    job: MakeJob, tmp_path: Path, with_dropout: Network, settings: dict[str, Any]
) -> None:
    settings = {**settings, "network": with_dropout, "epochs": 2}
    for name, compute in (("host", Compute()), ("device", ON_DEVICE)):
        train(job(settings, output=tmp_path / name, compute=compute))
    assert_same_run(tmp_path / "host", tmp_path / "device")


def test_an_interrupted_training_may_go_on_the_other_way(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state on disk holds what is learned and no stamp."""
    settings = {**ADVERSARIAL, "epochs": 2}
    train(job(settings, output=tmp_path / "whole"))
    arguments = job(settings, output=tmp_path / "halves", compute=ON_DEVICE)
    save = Checkpoint.save

    def save_and_stop(self: Checkpoint, *state: Any) -> None:
        save(self, *state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(arguments)
    with (
        np.load(arguments.checkpoint / "state.npz") as state,
        StampSet(job({}).given["survey"]) as s,
    ):
        shapes = [state[name].shape for name in state.files]
        assert not any(s.side in shape for shape in shapes)
    train(replace(arguments, compute=Compute()))
    assert_same_run(tmp_path / "whole", tmp_path / "halves")


def test_a_full_device_is_said(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise ValueError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")

    monkeypatch.setattr(compiling.Resident, "add_weight", full)
    with pytest.raises(RunError, match=r"no room for 0\.0 GiB of .*stamps_on_device: false"):
        train(job({}, compute=ON_DEVICE))


def test_other_errors_stay_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("another thing")

    monkeypatch.setattr(compiling.Resident, "add_weight", broken)
    with pytest.raises(ValueError, match="another thing"):
        compiling.fed_by_rows(keras.Sequential(), STAMPS)


def test_who_decides() -> None:
    assert not Compute().keeps_stamps_on_device
    assert Compute(gpus_per_training=1).keeps_stamps_on_device
    assert not Compute(gpus_per_training=1, stamps_on_device=False).keeps_stamps_on_device
