"""Optimisers: steps worked out by hand, refused settings, and use by methods that adapt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from blob_stamps import train_baseline
from pydantic import ValidationError
from trainings import weights

from galadapt.config.training import Compute, Method
from galadapt.learners.job import Job
from galadapt.learners.keras import backend
from galadapt.learners.train import train

backend.prepare(Compute())

import keras  # noqa: E402

from galadapt.learners.keras.optimizers import make_optimizer  # noqa: E402

RATE = 0.1


def of(kind: str, **settings: Any) -> Any:
    return Method(optimizer={"kind": kind, **settings}).optimizer


def path(settings: Any, gradients: list[float], start: float = 1.0) -> list[float]:
    """Where the steps of one number lead."""
    variable = keras.Variable(start)
    optimizer = make_optimizer(settings, RATE)
    optimizer.build([variable])
    places = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        places.append(float(keras.ops.convert_to_numpy(variable)))
    return places


#: Places after gradients of 2 and then 1, from 1, at a rate of .1.
BY_HAND = {
    "sgd": (0.8, 0.7),
    # Steps -.2 and .9 (-.2) - .1.
    "momentum": (0.8, 0.8 - 0.28),
    # The gradient where the momentum leads: .9 of the new step, and the gradient's own.
    "nesterov": (1 - 0.9 * 0.2 - 0.2, 0.62 - 0.9 * 0.28 - 0.1),
    # Sums of squares 4.1 and 5.1.
    "adagrad": (1 - 0.2 / 4.1**0.5, 1 - 0.2 / 4.1**0.5 - 0.1 / 5.1**0.5),
    # Means of squares .4 and .46.
    "rmsprop": (1 - 0.2 / 0.4**0.5, 1 - 0.2 / 0.4**0.5 - 0.1 / 0.46**0.5),
    # First a step of the rate; then means .28 / .19 and .004996 / .001999.
    "adam": (0.9, 0.9 - 0.1 * (0.28 / 0.19) / (0.004996 / 0.001999) ** 0.5),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_steps_are_those_of_the_textbook(kind: str) -> None:
    assert path(of(kind), [2.0, 1.0]) == pytest.approx(BY_HAND[kind], abs=1e-5)


def test_weights_decay_whatever_the_gradient() -> None:
    assert path(of("adamw", weight_decay=0.5), [0.0, 0.0]) == pytest.approx([0.95, 0.9025])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "sgd", "momentum": 0.9}, "sgd.momentum\n  Extra inputs"),
        ({"kind": "momentum", "momentum": 1.0}, "less than 1"),
        ({"kind": "adagrad", "initial": -1}, "greater than or equal to 0"),
        ({"kind": "rmsprop", "epsilon": 0}, "greater than 0"),
        ({"kind": "adam", "beta_1": 1}, "less than 1"),
        ({"kind": "lion"}, "does not match any of the expected tags"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Method(optimizer=settings)


def test_an_estimator_has_no_optimiser() -> None:
    with pytest.raises(ValidationError, match="optimizer: learner sklearn has no such setting"):
        Method(learner={"kind": "sklearn"}, optimizer={"kind": "sgd"})


def test_methods_that_adapt_use_them_too(
    job: Callable[..., Job], domains: dict[str, Path], tmp_path: Path
) -> None:
    """And slow their features with them."""
    start = train_baseline(tmp_path / "start", domains["simulated"], 1, 1) / "run.json"
    moved = {}
    for kind in ("nesterov", "adagrad", "adamw"):
        arguments = job(
            {
                **{"domains": ["simulated", "survey"], "alignment": {"kind": "coral"}},
                **{"starts_from": "baseline", "optimizer": {"kind": kind}, "epochs": 1},
                **{"feature_rate": 1e-6, "batch_size": 32},
            },
            start=start,
            output=tmp_path / kind,
        )
        train(arguments)
        before, after = weights(start.parent), weights(arguments.output)
        moved[kind] = [float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True)]
        history = pd.read_csv(arguments.output / "history.csv")
        assert np.isfinite(history["loss"]).all()
    for kind, each in moved.items():
        # The last two layers are the head's; of the others AdamW alone takes its decay away.
        assert min(each[-4:]) > 1e-6, kind
        assert max(each[:-4]) < (1e-4 if kind == "adamw" else 1e-5), kind
    heads = {kind: round(each[-1], 9) for kind, each in moved.items()}
    assert len(set(heads.values())) == 3
