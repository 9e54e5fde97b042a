"""Learners of votes: networks that have a distribution, ensembles of them, estimators."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from test_trainer import interrupt
from trainings import assert_same_run, job_in, predict_into

from galadapt.answers.votes.tree import Question, Tree
from galadapt.config.training import Compute, Method
from galadapt.config.votes import VoteMethod, VoteNetwork
from galadapt.learners import registry, run_folder
from galadapt.learners.ensemble import EnsembleLearner
from galadapt.learners.job import Job
from galadapt.learners.keras.learner import KerasLearner
from galadapt.learners.train import train
from galadapt.stamps.format import write_stamps

TREE = Tree(
    (
        Question("shape", ("round", "flat")),
        Question("tilt", ("some", "much", "edge"), "shape_flat"),
    )
)
SIDE, COUNT = 16, 96

#: Of so few stamps the prior of so many weights would leave nothing to learn.
BAYESIAN = {
    **{"architecture": "zoo", "bayesian": True, "hidden": 8, "passes": 3},
    **{"warm_up": 2, "prior_weight": 1e-5},
}
DROPOUT = {"architecture": "zoo", "hidden": 8, "dropout": 0.3, "sampled_dropout": True, "passes": 3}
SCHEDULE = {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "patience": 3}

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ellipses in three channels, whose volunteers see how flat they are; two have no votes."""
    random = np.random.default_rng(7)
    axis = random.uniform(0.2, 1, COUNT)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    light = 200 * np.exp(-0.5 * (x**2 + (y / axis[:, None, None]) ** 2) / 3**2)
    images = np.stack([light, 0.8 * light, 0.5 * light], axis=-1) + random.normal(
        4, 2, (COUNT, SIDE, SIDE, 3)
    )
    conditional = np.stack([axis, 1 - axis, axis, np.full(COUNT, 0.3), 1 - axis], axis=1)
    shares = TREE.shares(TREE.conditional(conditional))
    votes = np.round(40 * shares)
    votes[1:3] = 0
    table = pd.DataFrame({"id": np.arange(COUNT)})
    table["split"] = np.repeat(["train", "validation", "test"], (48, 24, 24))
    for k, name in enumerate(TREE.names):
        table[f"votes_{name}"] = votes[:, k]
    metadata = {
        **{"pixel_scale": None, "zero_point": None, "band": "rgb", "domain": "simulated"},
        **{"channels": ["red", "green", "blue"], "tree": TREE.to_list()},
    }
    path = tmp_path_factory.mktemp("votes") / "stamps.h5"
    write_stamps(path, [images.astype(np.float32)], table, metadata, unit="8-bit")
    return path


@pytest.fixture
def job(stamps: Path, tmp_path: Path) -> MakeJob:
    def make(settings: dict[str, Any], **changes: Any) -> Job:
        names = {"task": "votes", "quantities": ()}
        return job_in(tmp_path, VoteMethod(**settings), {"simulated": stamps}, **names | changes)

    return make


def learner_of(run: Path) -> Any:
    return run_folder.load(run / "run.json", Compute()).learner


def images_of(count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).normal(50, 9, (count, SIDE, SIDE, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [
        {"head": "dirichlet", "network": BAYESIAN, **SCHEDULE},
        {"head": "dirichlet", "network": DROPOUT, **SCHEDULE},
    ],
)
def test_a_network_with_a_distribution_continues_where_it_was(
    settings: dict[str, Any], job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(job(settings, output=tmp_path / "whole"))
    halves = job(settings, output=tmp_path / "halves")
    interrupt(halves, 1, monkeypatch)
    train(halves)
    assert_same_run(tmp_path / "whole", tmp_path / "halves")
    history = pd.read_csv(tmp_path / "whole" / "history.csv")
    likelihood = history["loss"] - history.get("prior", 0.0)
    assert likelihood[2] < likelihood[0]
    if "bayesian" in settings["network"]:
        # From nothing to all of it over two epochs; the loss contains it.
        assert history["prior"][0] == 0
        assert history["prior"][2] == pytest.approx(2 * history["prior"][1], rel=0.1)


def test_its_samples_are_predicted(job: MakeJob, stamps: Path, tmp_path: Path) -> None:
    one = job({"head": "dirichlet", "network": BAYESIAN, **SCHEDULE})
    train(one)
    learner = learner_of(one.output)
    assert learner.predict(images_of()).shape == (4, 3, 5)
    assert learner.features(images_of()).shape == (4, 256)
    for name in ("first", "second"):
        predict_into(one.output, {"simulated": stamps}, tmp_path / name)
    first, second = (tmp_path / name / "predictions.parquet" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    table = pd.read_parquet(first)
    shares = table[[f"{name}_share" for name in TREE.names]].to_numpy()
    assert TREE.violation(shares) < 1e-6


def test_an_ensemble_is_networks_side_by_side(
    job: MakeJob, stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        **SCHEDULE,
        "learner": {"kind": "ensemble", "members": 2},
        "network": DROPOUT,
        "epochs": 2,
    }
    whole = job(settings, output=tmp_path / "whole")
    train(whole)
    # The second member, too, continues where it was: the first is not trained again.
    halves = job(settings, output=tmp_path / "halves")
    fit, fitted = KerasLearner.fit.__func__, []  # type: ignore[attr-defined]

    def fit_one(cls: type[KerasLearner], one: Job, *rest: Any) -> KerasLearner:
        fitted.append(one.seed)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        found: KerasLearner = fit(cls, one, *rest)
        return found

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(KerasLearner, "fit", classmethod(fit_one))
        train(halves)
    assert (halves.checkpoint / "member1" / "state.npz").is_file()
    train(halves)
    assert not halves.checkpoint.exists()
    assert (halves.output / "run.json").read_bytes() == (whole.output / "run.json").read_bytes()

    learner = learner_of(whole.output)
    assert isinstance(learner, EnsembleLearner) and len(set(fitted)) == 2
    images = images_of()
    each = [member.predict(images) for member in learner.members]
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_array_equal(learner.predict(images), np.concatenate(each, axis=1))
    assert learner.predict(images[:0]).shape == (0, 6, 5)
    np.testing.assert_array_equal(learner.features(images), learner.members[0].features(images))
    record = json.loads((whole.output / "run.json").read_text())
    assert record["parameter_count"] == 2 * record["members"][0]["parameter_count"]
    history = pd.read_csv(whole.output / "history.csv")
    assert history[["epoch", "members"]].to_numpy().tolist() == [[1, 2], [2, 2]]
    predict_into(whole.output, {"simulated": stamps})
    table = pd.read_parquet(whole.output / "predictions.parquet")
    shares = table[[f"{name}_share" for name in TREE.names]].to_numpy()
    assert np.isfinite(shares).all() and TREE.violation(shares) < 1e-6


def test_only_answers_with_samples_take_an_ensemble() -> None:
    with pytest.raises(ValidationError, match=r"an ensemble predicts several samples .* numbers"):
        Method(learner={"kind": "ensemble"})
    methods = {"deep": VoteMethod(learner={"kind": "ensemble"})}
    found = registry.modules(methods, "deep")
    assert "galadapt.learners.ensemble" in found and "galadapt.learners.sklearn" not in found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "hidden: belongs to architecture zoo"),
        ({"architecture": "zoo", "warm_up": 3}, "warm_up: belongs to a bayesian network"),
        ({"architecture": "zoo", "passes": 3}, "passes: needs bayesian or sampled_dropout"),
        ({"architecture": "zoo", "sampled_dropout": True}, "needs dropout above 0"),
        ({**BAYESIAN, "dropout": 0.1, "sampled_dropout": True}, "choose one"),
    ],
)
def test_settings_of_another_network_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        VoteNetwork(**settings)


@pytest.mark.parametrize("settings", [{}, BAYESIAN, DROPOUT])
def test_settings_written_in_full_are_the_same(settings: dict[str, Any]) -> None:
    network = VoteNetwork(**settings)
    assert VoteNetwork(**network.model_dump()) == network


@pytest.mark.parametrize("estimator", ["mean", "ridge", "svm", "kernel_ridge", "random_forest"])
def test_estimators_predict_votes(job: MakeJob, stamps: Path, estimator: str) -> None:
    learner = {"kind": "sklearn", "estimator": estimator, "inputs": "simple"}
    one = job({"learner": learner, "head": "independent"})
    train(one)
    predict_into(one.output, {"simulated": stamps})
    table = pd.read_parquet(one.output / "predictions.parquet").query("split == 'test'")
    found, votes = (
        table[[f"{name}_{what}" for name in TREE.names]].to_numpy() for what in ("share", "votes")
    )
    error = np.sqrt(np.mean((found - TREE.shares(TREE.conditional(votes))) ** 2))
    assert TREE.violation(found) < 1e-6
    if estimator == "mean":
        assert np.ptp(found, axis=0).max() < 1e-6
        assert error > 0.1
    else:
        assert error < 0.07
    about = json.loads((one.output / "model" / "estimator.json").read_text())
    assert about["epsilon"] == 0.05
