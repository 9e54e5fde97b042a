"""Textbook methods on textbook data: our estimators are scikit-learn's, and the course's examples.

The data sets are those that scikit-learn ships. Each floor reaches what the plain estimator
reaches, which is written out here by hand, and a value that does not move.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets, ensemble, linear_model, neighbors, svm
from sklearn.dummy import DummyRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from test_class_training import patterns  # noqa: F401 (a fixture)
from trainings import job_in, predict_into

from galadapt.config.classes import ClassMethod, ClassNetwork
from galadapt.config.optimizers import Adam, Sgd
from galadapt.config.training import Compute, Method
from galadapt.core.distances import signed_root
from galadapt.learners.image_features import oriented_gradients
from galadapt.learners.keras import backend
from galadapt.learners.sklearn import make_estimator
from galadapt.learners.train import train

backend.prepare(Compute())

import keras  # noqa: E402

from galadapt.learners.keras import networks  # noqa: E402
from galadapt.learners.keras.optimizers import make_optimizer  # noqa: E402

#: Every fourth row is for testing.
STEP = 4


def data(name: str, most: int = 600) -> tuple[np.ndarray, ...]:
    inputs, targets = getattr(datasets, f"load_{name}")(return_X_y=True)
    inputs, targets = inputs[:most], targets[:most]
    test = np.arange(len(inputs)) % STEP == 0
    return inputs[~test], targets[~test], inputs[test], targets[test]


def ours(estimator: str, choice: float, classifies: bool, count: int, **more: Any) -> Any:
    return make_estimator(
        **{"estimator": estimator, "choice": choice, "epsilon": 0.1, "seed": 1, **more},
        classifies=classifies,
        count=count,
    )


#: Estimator, its choice and settings, the same written out, and its accuracy on Iris and digits.
CLASSIFIERS: list[tuple[str, float, dict[str, str], Any, float, float]] = [
    ("logistic", 1.0, {}, linear_model.LogisticRegression(max_iter=1000), 0.9737, 0.9733),
    ("svm", 1.0, {}, svm.SVC(C=1.0), 0.9737, 0.9867),
    ("k_nearest", 3, {"vote": "hard"}, neighbors.KNeighborsClassifier(3), 0.9737, 0.9867),
    (
        *("k_nearest", 10, {"vote": "soft", "distance": "cosine"}),
        neighbors.KNeighborsClassifier(10, weights="distance", metric="cosine"),
        *(0.9737, 0.9600),
    ),
    (
        *("k_nearest", 10, {"distance": "signed_root"}),
        make_pipeline(
            FunctionTransformer(signed_root), neighbors.KNeighborsClassifier(10, weights="distance")
        ),
        *(0.9474, 0.9733),
    ),
    (
        *("k_nearest", 10, {"distance": "manhattan"}),
        neighbors.KNeighborsClassifier(10, weights="distance", p=1),
        *(0.9737, 0.9800),
    ),
    (
        *("random_forest", 1, {}),
        ensemble.RandomForestClassifier(random_state=1),
        *(0.9474, 0.9933),
    ),
]


@pytest.mark.parametrize(("name", "choice", "settings", "plain", "iris", "digits"), CLASSIFIERS)
def test_classifiers_are_those_of_scikit_learn(
    name: str, choice: float, settings: dict[str, str], plain: Any, iris: float, digits: float
) -> None:
    for kind, expected in (("iris", iris), ("digits", digits)):
        inputs, labels, new, truth = data(kind)
        found = ours(name, choice, True, len(inputs), **settings).fit(inputs, labels)
        other = make_pipeline(StandardScaler(), plain).fit(inputs, labels)
        agree = found.predict(new) == other.predict(new)
        # Calibrated probabilities of support vectors may rank two close classes otherwise.
        assert agree.mean() > (0.97 if name == "svm" else 0.999)
        assert found.score(new, truth) == pytest.approx(expected, abs=0.007)
        np.testing.assert_allclose(found.predict_proba(new).sum(axis=1), 1, atol=1e-6)


def test_boosted_trees_are_those_of_scikit_learn() -> None:
    inputs, labels, new, truth = data("iris")
    found = ours("gradient_boosting", 31, True, len(inputs)).fit(inputs, labels)
    plain = ensemble.HistGradientBoostingClassifier(random_state=1).fit(inputs, labels)
    np.testing.assert_array_equal(found.predict(new), plain.predict(new))
    assert found.score(new, truth) == pytest.approx(0.9737, abs=0.007)


REGRESSORS: list[tuple[str, float, dict[str, str], Any, float]] = [
    ("ridge", 1.0, {}, linear_model.Ridge(alpha=1.0), 0.463),
    ("kernel_ridge", 1.0, {}, KernelRidge(alpha=1.0, kernel="rbf"), 0.433),
    (
        *("nystroem", 1.0, {}),
        make_pipeline(Nystroem(n_components=331, random_state=1), linear_model.Ridge(alpha=1.0)),
        0.438,
    ),
    ("mean", 0.0, {}, DummyRegressor(), -0.021),
    ("svm", 1.0, {}, svm.SVR(C=1.0, epsilon=0.1), 0.446),
    ("k_nearest", 10, {"vote": "hard"}, neighbors.KNeighborsRegressor(10), 0.441),
    (
        *("k_nearest", 10, {}),
        neighbors.KNeighborsRegressor(10, weights="distance"),
        0.442,
    ),
    (
        *("random_forest", 10, {}),
        ensemble.RandomForestRegressor(min_samples_leaf=10, random_state=1),
        0.404,
    ),
    (
        *("gradient_boosting", 4, {}),
        ensemble.HistGradientBoostingRegressor(max_leaf_nodes=4, random_state=1),
        0.446,
    ),
]


@pytest.mark.parametrize(("name", "choice", "settings", "plain", "expected"), REGRESSORS)
def test_regressors_are_those_of_scikit_learn(
    name: str, choice: float, settings: dict[str, str], plain: Any, expected: float
) -> None:
    inputs, labels, new, truth = data("diabetes")
    mean, width = labels.mean(), labels.std()
    targets = ((labels - mean) / width)[:, None]
    found = ours(name, choice, False, len(inputs), **settings).fit(inputs, targets)
    scaled = np.ravel(found.predict(new))
    other = make_pipeline(StandardScaler(), plain).fit(inputs, targets.ravel()).predict(new)
    np.testing.assert_allclose(scaled, other, atol=2e-2 if name == "svm" else 5e-3)
    errors = mean + width * scaled - truth
    r2 = 1 - (errors**2).mean() / truth.var()
    assert r2 == pytest.approx(expected, abs=0.005)


def test_one_feature_of_diabetes_has_the_slope_of_the_pseudo_inverse() -> None:
    """scikit-learn's own example: coefficient 938.24, mean squared error 2548.07, R² .47."""
    inputs, labels = datasets.load_diabetes(return_X_y=True)
    one = inputs[:, 2:3]
    found = ours("ridge", 1e-9, False, len(one)).fit(one[:-20], labels[:-20])
    slope = found.predict([[1.0]]) - found.predict([[0.0]])
    assert slope[0] == pytest.approx(938.2379, rel=1e-6)
    design = np.column_stack([np.ones(len(one) - 20), one[:-20]])
    assert slope[0] == pytest.approx((np.linalg.pinv(design) @ labels[:-20])[1], rel=1e-6)
    error = (found.predict(one[-20:]) - labels[-20:]) ** 2
    assert error.mean() == pytest.approx(2548.07, abs=0.01)
    assert 1 - error.mean() / labels[-20:].var() == pytest.approx(0.47, abs=0.005)


# --- the course's perceptron ---------------------------------------------------------------------

#: Two binary inputs, as stamps of one pixel with two channels.
TRUTH_TABLE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32).reshape(4, 1, 1, 2)


def perceptron(units: list[int], optimizer: Any, rate: float) -> keras.Model:
    network = ClassNetwork(architecture="mlp", mlp={"units": units})
    model = networks.build(network, 1, 1, activation="sigmoid", channels=2)
    model.compile(make_optimizer(optimizer, rate), loss=keras.losses.BinaryCrossentropy())
    return model


def steps(model: keras.Model, labels: list[int], count: int) -> None:
    targets = np.array(labels, np.float32)[:, None]
    for _ in range(count):
        model.train_on_batch(TRUTH_TABLE, targets)


def test_a_perceptron_learns_and_as_in_the_course() -> None:
    """Printed are the first increment and the weights after 20 steps, the start counted as one.

    The printed increments follow from the weights (0, 0, .2), not from zero ones.
    """
    model = perceptron([], Sgd(), 1.0)
    model.set_weights([np.array([[0.0], [0.2]], np.float32), np.zeros(1, np.float32)])

    def weights() -> np.ndarray:
        kernel, bias = model.get_weights()
        return np.array([*bias, *kernel[:, 0]])

    start = weights()
    steps(model, [0, 0, 0, 1], 1)
    np.testing.assert_allclose(start - weights(), [0.274917, 0.0124585, 0.024917], atol=2e-6)
    steps(model, [0, 0, 0, 1], 18)
    np.testing.assert_allclose(weights(), [-1.9176, 0.9865, 1.0539], atol=1e-4)
    steps(model, [0, 0, 0, 1], 100)
    found = model.predict_on_batch(TRUTH_TABLE)[:, 0] > 0.5
    assert found.tolist() == [False, False, False, True]


def test_xor_needs_a_hidden_layer() -> None:
    keras.utils.set_random_seed(3)
    alone, layered = perceptron([], Sgd(), 1.0), perceptron([8], Adam(), 0.1)
    found = []
    for model in (alone, layered):
        steps(model, [0, 1, 1, 0], 200)
        found.append(np.asarray(model.predict_on_batch(TRUTH_TABLE))[:, 0])
    # Nothing better than one half for all is linear.
    np.testing.assert_allclose(found[0], 0.5, atol=0.02)
    assert (found[1] > 0.5).tolist() == [False, True, True, False]


# --- through the same entries as networks --------------------------------------------------------


@pytest.mark.parametrize("estimator", ["logistic", "svm", "k_nearest"])
def test_two_classes_are_learned_too(
    patterns: Path,  # noqa: F811
    tmp_path: Path,
    estimator: str,
) -> None:
    """Two classes have one output, the probability of the second."""
    groups = {"dark": ["empty"], "bright": ["line", "block"]}
    learner = {"kind": "sklearn", "estimator": estimator, "inputs": "hog"}
    method = ClassMethod(learner=learner, groups=groups)
    one = job_in(
        tmp_path, method, {"simulated": patterns}, **{"task": "screening", "quantities": ()}
    )
    train(one)
    predict_into(one.output, {"simulated": patterns})
    table = pd.read_parquet(one.output / "predictions.parquet")
    assert table.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    bright = table["label_true"] == "bright"
    chances = table.groupby(bright)["p_bright"]
    assert chances.median()[True] > chances.quantile(0.9)[False]


def test_gradients_see_shapes_and_not_brightness() -> None:
    y, x = np.indices((48, 48)) - 23.5
    bars = [np.exp(-((a * x + b * y) ** 2) / 20 - (x**2 + y**2) / 300) for a, b in ((1, 0), (0, 1))]
    images = np.stack([bars[0], 7 * bars[0], bars[1]])[..., None]
    found = oriented_gradients(images)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    assert np.abs(found[0] - found[2]).max() > 0.1
    assert oriented_gradients(images[:0]).shape == (0, found.shape[1])


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        ({"estimator": "ridge", "vote": "hard"}, "learner.vote: belongs to k_nearest"),
        ({"estimator": "svm", "distance": "cosine"}, "learner.distance: belongs to k_nearest"),
        ({"estimator": "k_nearest", "distance": "taxi"}, "Input should be 'manhattan'"),
        ({"inputs": "hog", "features_from": "baseline"}, "no effect with features_from"),
    ],
)
def test_settings_that_mean_nothing_are_refused(learner: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Method(learner={"kind": "sklearn", **learner})
