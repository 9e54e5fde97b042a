"""Estimators of scikit-learn through the same entries as networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from blob_stamps import train_baseline
from pydantic import ValidationError
from sklearn.multioutput import MultiOutputRegressor
from sklearn.svm import SVR
from test_class_training import accuracy, patterns  # noqa: F401 (a fixture)
from trainings import job_in, predict_into

from galadapt.config.classes import ClassMethod
from galadapt.config.training import Compute, Method
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.learners import registry, run_folder, sklearn
from galadapt.learners.image_features import feature_names
from galadapt.learners.job import Job
from galadapt.learners.support_vectors import SupportVectors
from galadapt.learners.train import train

MakeJob = Callable[..., Job]


@pytest.fixture
def job(domains: dict[str, Path], tmp_path: Path) -> MakeJob:
    """Make a training of an estimator; keywords replace its settings or arguments."""

    def make(estimator: str, start: Path | None = None, **changes: Any) -> Job:
        learner = {"kind": "sklearn", "estimator": estimator}
        learner |= {} if start is None else {"features_from": "baseline"}
        return job_in(tmp_path, Method(learner=learner), domains, start=start, **changes)

    return make


@pytest.fixture(scope="module")
def network(domains: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    return train_baseline(folder, domains["simulated"], 1, epochs=2) / "run.json"


@pytest.mark.parametrize("estimator", ["ridge", "svm", "k_nearest", "random_forest"])
def test_an_estimator_measures(job: MakeJob, domains: dict[str, Path], estimator: str) -> None:
    one = job(estimator)
    train(one)
    predict_into(one.output, domains)
    table = pd.read_parquet(one.output / "predictions.parquet").query("domain == 'simulated'")
    error = table["magnitude_predicted"] - table["magnitude_true"]
    # 32 stamps teach a little.
    assert error.std() < 0.75 * table["magnitude_true"].std()
    assert {"survey", "simulated"} == set(
        pd.read_parquet(one.output / "embeddings.parquet")["domain"]
    )
    history = pd.read_csv(one.output / "history.csv")
    assert history["choice"].tolist() == list(sklearn.CHOICES[estimator])
    record = json.loads((one.output / "run.json").read_text())
    assert record["learner"] == "sklearn"
    assert record["best_epoch"] == history["val_simulated"].idxmin() + 1
    assert record["best_monitored"] == history["val_monitored"].min()


@pytest.mark.parametrize("estimator", ["logistic", "svm", "k_nearest", "random_forest"])
def test_an_estimator_tells_classes_apart(
    patterns: Path,  # noqa: F811
    tmp_path: Path,
    estimator: str,
) -> None:
    method = ClassMethod(learner={"kind": "sklearn", "estimator": estimator})
    names = {"task": "screening", "quantities": ()}
    one = job_in(tmp_path, method, {"simulated": patterns}, **names)
    train(one)
    predict_into(one.output, {"simulated": patterns})
    table = pd.read_parquet(one.output / "predictions.parquet")
    assert table.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    # Pixels do not say where a pattern lies; chance is a third.
    assert accuracy(table) > 0.4


def test_it_reads_the_features_of_a_network(
    job: MakeJob, domains: dict[str, Path], network: Path, tmp_path: Path
) -> None:
    run = tmp_path / "network"
    shutil.copytree(network.parent, run)
    one = job("ridge", start=run / "run.json")
    train(one)
    predict_into(run, domains)
    # What it reads is kept beside it.
    shutil.rmtree(run / "model")
    predict_into(one.output, domains)
    features = [pd.read_parquet(path / "embeddings.parquet") for path in (run, one.output)]
    pd.testing.assert_frame_equal(*features)
    assert job("ridge").identity != one.identity


def test_the_same_training_is_the_same_estimator(job: MakeJob, domains: dict[str, Path]) -> None:
    first, second = (job("random_forest", output=job("ridge").output / name) for name in "ab")
    for one in (first, second):
        train(one)
        predict_into(one.output, domains)
    for name in ("run.json", "predictions.parquet", "model/training.npz"):
        assert (first.output / name).read_bytes() == (second.output / name).read_bytes()


def test_what_is_saved_is_what_was_fitted(job: MakeJob, domains: dict[str, Path]) -> None:
    one = job("svm")
    train(one)
    learner = run_folder.load(one.output / "run.json", Compute()).learner
    history = pd.read_csv(one.output / "history.csv")
    predict_into(one.output, domains)
    table = pd.read_parquet(one.output / "predictions.parquet")
    part = table.query("domain == 'simulated' and split == 'validation'")
    scaling = json.loads((one.output / "run.json").read_text())["answer"]["scaling"]
    errors = [
        (part[f"{name}_predicted"] - part[f"{name}_true"]).abs().mean() / scale
        for name, scale in zip(PARAMETERS, scaling["scale"], strict=True)
    ]
    assert np.mean(errors) == pytest.approx(history["val_simulated"].min(), rel=1e-4)
    assert learner.predict(np.empty((0, 16, 16, 1), np.float32)).shape == (0, 4)


def test_a_damaged_or_foreign_model_is_refused(job: MakeJob) -> None:
    one = job("ridge")
    train(one)
    model, run = one.output / "model", one.output / "run.json"
    about = json.loads((model / "estimator.json").read_text())
    (model / "estimator.json").write_text(json.dumps(about | {"scikit_learn": "0.1"}))
    with pytest.raises(DataError, match=r"model: fitted by scikit-learn 0.1, but .* train again"):
        run_folder.load(run, Compute())
    (model / "estimator.json").write_text(json.dumps(about | {"choice": 7.0}))
    with pytest.raises(DataError, match=r"model: not the model of .*run.json"):
        run_folder.load(run, Compute())
    (model / "estimator.json").write_text(json.dumps(about))
    (model / "training.npz").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"training.npz: not readable .* train again"):
        run_folder.load(run, Compute())


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Method, {"alignment": {"kind": "coral"}}, "alignment: learner sklearn has no such"),
        (Method, {"starts_from": "baseline"}, "starts_from: learner sklearn has no such setting"),
        (Method, {"epochs": 3}, "epochs: learner sklearn has no such setting; leave it out"),
        (Method, {"domains": ["simulated", "survey"]}, "needs survey_labels: true"),
        (Method, {"learner": {"estimator": "logistic"}}, "logistic does not predict numbers"),
        (ClassMethod, {"learner": {"estimator": "ridge"}}, "ridge does not predict classes"),
        (ClassMethod, {"answer": "ordinal"}, "answer: learner sklearn has no such setting"),
        (
            ClassMethod,
            {"class_weights": "balanced", "learner": {"estimator": "k_nearest"}},
            "k_nearest takes no weights",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    kind: Any, settings: dict[str, Any], message: str
) -> None:
    both = {"domains": ["simulated", "survey"], "survey_labels": True}
    given = {**(both if "alignment" in settings else {}), **settings}
    learner = {"kind": "sklearn", "estimator": "random_forest"} | settings.get("learner", {})
    with pytest.raises(ValidationError, match=message):
        kind(**{**given, "learner": learner})


def test_each_method_depends_on_the_code_of_its_own_learner() -> None:
    methods = {
        "network": Method(),
        "estimator": Method(learner={"kind": "sklearn"}),
        "reader": Method(learner={"kind": "sklearn", "features_from": "network"}),
    }
    found = {name: registry.modules(methods, name) for name in methods}
    estimator, network = "galadapt.learners.sklearn", "galadapt.learners.keras.learner"
    assert estimator not in found["network"] and network in found["network"]
    assert estimator in found["estimator"] and network not in found["estimator"]
    assert {estimator, network} < found["reader"]


def test_settings_of_support_vectors_and_inputs_are_checked() -> None:
    for learner, message in (
        ({"estimator": "ridge", "epsilon": 0.1}, "learner.epsilon: belongs to svm"),
        ({"inputs": "simple", "features_from": "baseline"}, "no effect with features_from"),
    ):
        with pytest.raises(ValidationError, match=message):
            Method(learner={"kind": "sklearn"} | learner)
    for estimator in ("kernel_ridge", "nystroem", "mean"):
        with pytest.raises(ValidationError, match=f"{estimator} does not predict classes"):
            ClassMethod(learner={"kind": "sklearn", "estimator": estimator})


@pytest.mark.parametrize("estimator", ["kernel_ridge", "nystroem", "ridge"])
def test_simple_features_measure_too(
    job: MakeJob, domains: dict[str, Path], tmp_path: Path, estimator: str
) -> None:
    learner = {"kind": "sklearn", "estimator": estimator, "inputs": "simple"}
    one = job_in(tmp_path, Method(learner=learner), domains)
    train(one)
    predict_into(one.output, domains)
    table = pd.read_parquet(one.output / "predictions.parquet").query("domain == 'simulated'")
    error = table["magnitude_predicted"] - table["magnitude_true"]
    assert error.std() < 0.75 * table["magnitude_true"].std()
    embedded = pd.read_parquet(one.output / "embeddings.parquet")
    assert embedded.filter(regex=r"^f\d").shape[1] == len(feature_names(1))


def test_the_mean_is_that_of_the_training_labels(job: MakeJob, domains: dict[str, Path]) -> None:
    one = job("mean")
    train(one)
    learner = run_folder.load(one.output / "run.json", Compute()).learner
    found = learner.predict(np.random.default_rng(1).normal(size=(3, 16, 16, 1)))
    # Numbers are standardised by the training labels.
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_support_vectors_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    inputs, new = random.normal(size=(60, 5)), random.normal(size=(7, 5))
    targets = np.stack([np.sin(inputs[:, 0]), inputs[:, 1] * inputs[:, 2]], axis=1)
    weights = random.uniform(0.5, 2, 60)
    ours = SupportVectors(C=2.0, epsilon=0.05).fit(inputs, targets, weights)
    theirs = MultiOutputRegressor(SVR(C=2.0, epsilon=0.05)).fit(
        inputs, targets, sample_weight=weights
    )
    np.testing.assert_allclose(ours.predict(new), theirs.predict(new), atol=2e-3)
    again = SupportVectors(C=2.0, epsilon=0.05)
    again.solution_ = ours.solution_
    np.testing.assert_array_equal(again.fit(inputs, targets).predict(new), ours.predict(new))


def test_support_vectors_are_not_solved_again(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job("svm")
    train(one)
    monkeypatch.setattr(SVR, "fit", lambda *_: pytest.fail("solved again"))
    learner = run_folder.load(one.output / "run.json", Compute()).learner
    assert learner.predict(np.zeros((2, 16, 16, 1), np.float32)).shape == (2, 4)
