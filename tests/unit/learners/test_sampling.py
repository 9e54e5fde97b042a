"""Layers that draw in prediction: what they draw, how often, and what training adds to the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galadapt.config.training import Compute
from galadapt.config.votes import VoteNetwork
from galadapt.learners.keras import backend

backend.prepare(Compute())

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from galadapt.learners.keras import networks  # noqa: E402
from galadapt.learners.keras.learner import KerasLearner  # noqa: E402
from galadapt.learners.keras.sampling import (  # noqa: E402
    Flipout,
    FlipoutConv2D,
    FlipoutDense,
    Prior,
    SampledDropout,
    prior_scale,
    sampled_layers,
    with_prior,
)
from galadapt.learners.orientations import mean_output, oriented  # noqa: E402

BAYESIAN = {"bayesian": True, "passes": 3}
DROPOUT = {"dropout": 0.4, "sampled_dropout": True, "passes": 4}


def zoo(**settings: Any) -> VoteNetwork:
    return VoteNetwork(architecture="zoo", **settings)


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(1)


@pytest.fixture(scope="module")
def stamps() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((5, 16, 16, 1)).astype(np.float32)


def spread(layer: Flipout, rho: float) -> None:
    layer.rho.assign(np.full(layer.rho.shape, rho))


@pytest.mark.parametrize(
    ("settings", "layer"),
    [
        ({"units": 3, "size": 3}, FlipoutConv2D),
        ({"units": 3, "size": 3, "padding": "same"}, FlipoutConv2D),
        ({"units": 4, "activation": "relu"}, FlipoutDense),
    ],
)
def test_without_spread_they_are_ordinary_layers(
    settings: dict[str, Any], layer: type[Flipout]
) -> None:
    shape = (6, 8, 8, 2) if layer is FlipoutConv2D else (6, 5)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    found = layer(**settings)
    found.build(shape)
    found.bias.assign([0.3, -0.2, 0.1, 0.5][: settings["units"]])
    if layer is FlipoutConv2D:
        padding = settings.get("padding", "valid").upper()
        expected = tf.nn.conv2d(x, found.loc.numpy(), 1, padding) + found.bias.numpy()
    else:
        expected = np.maximum(x @ found.loc.numpy() + found.bias.numpy(), 0)
    np.testing.assert_allclose(found(x), expected, atol=1e-5)
    spread(found, -40.0)
    for number in (0, 1):
        found.set_pass(number)
        np.testing.assert_allclose(found(x), expected, atol=1e-5)
    np.testing.assert_allclose(found(x, training=True), expected, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_outputs_scatter_as_those_of_drawn_weights(training: bool) -> None:
    """Monte Carlo over normal kernels gives the same mean and standard deviation."""
    random = np.random.default_rng(2)
    x = random.standard_normal((2, 4, 4, 2)).astype(np.float32)
    layer = FlipoutConv2D(2, 3)
    layer.build(x.shape)
    spread(layer, -0.5)
    run = tf.function(lambda: layer(x, training=training))
    draws = []
    for number in range(1, 1501):
        layer.set_pass(number)
        draws.append(run().numpy())
    sigma = np.log1p(np.exp(-0.5))
    kernels = layer.loc.numpy() + sigma * random.standard_normal((4000, *layer.loc.shape))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    expected = np.einsum("nyxcij,kijcf->knyxf", windows, kernels, optimize=True)
    # Some four standard errors of a mean and of a standard deviation of 1,500 draws.
    width = expected.std(axis=0)
    assert (np.abs(np.mean(draws, axis=0) - expected.mean(axis=0)) / width).max() < 0.15
    np.testing.assert_allclose(np.std(draws, axis=0), width, rtol=0.1)
    # In training the noise of two examples is independent; one pass is one kernel for both.
    same = layer(np.stack([x[0], x[0]]), training=training)
    assert np.allclose(same[0], same[1]) == (not training)


def test_noise_of_two_examples_is_uncorrelated_in_training() -> None:
    layer = FlipoutDense(1)
    x = np.ones((2, 6), np.float32)
    layer.build(x.shape)
    spread(layer, 0.0)
    run = tf.function(lambda: layer(x, training=True)[:, 0])
    draws = np.array([run().numpy() for _ in range(1000)])
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.13


def test_divergence_is_that_of_normal_distributions() -> None:
    layer = FlipoutDense(3)
    layer.build((None, 4))
    random = np.random.default_rng(4)
    loc, rho = random.standard_normal((2, 4, 3))
    layer.loc.assign(loc)
    layer.rho.assign(rho)
    sigma = np.log1p(np.exp(rho))
    # Of the definition, the mean of log q - log p over q, by Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    w = loc[..., None] + sigma[..., None] * nodes
    log_ratio = -np.log(sigma)[..., None] - nodes**2 / 2 + w**2 / 2
    expected = (log_ratio * weights / weights.sum()).sum()
    assert float(layer.divergence()) == pytest.approx(expected, rel=1e-5)


def test_the_prior_adds_its_share_to_the_loss_of_training(stamps: np.ndarray) -> None:
    network = networks.build(zoo(**BAYESIAN), 16, 4)
    model = with_prior(network)
    prior = next(layer for layer in model.layers if isinstance(layer, Prior))
    model.compile("sgd", "mse")
    targets = np.zeros((len(stamps), 4), np.float32)
    losses = []
    for scale in (0.0, 1e-3):
        prior.scale.assign(scale)
        losses.append(model.evaluate(stamps, targets, verbose=0))
    flipouts = [layer for layer in network.layers if isinstance(layer, Flipout)]
    assert len(flipouts) == 5
    total = sum(float(layer.divergence()) for layer in flipouts)
    assert losses[1] - losses[0] == pytest.approx(1e-3 * total, rel=1e-4)
    before = [layer.rho.numpy().mean() for layer in flipouts]
    model.fit(stamps, targets, verbose=0)
    # The prior is wide.
    assert all(layer.rho.numpy().mean() > one for layer, one in zip(flipouts, before, strict=True))
    assert network.losses == []
    plain = networks.build(zoo(), 16, 4)
    assert with_prior(plain) is plain


def test_the_prior_rises_with_the_epochs() -> None:
    found = [prior_scale(2.0, 4, epoch, 100) for epoch in range(6)]
    assert found == pytest.approx([0, 0.005, 0.01, 0.015, 0.02, 0.02])
    assert prior_scale(2.0, 0, 0, 100) == 0.02


@pytest.mark.parametrize("settings", [BAYESIAN, DROPOUT])
def test_a_saved_network_gives_the_same_samples(
    settings: dict[str, Any], stamps: np.ndarray, tmp_path: Path
) -> None:
    learner = KerasLearner(networks.build(zoo(**settings), 16, 4))
    for layer in sampled_layers(learner.model):
        if isinstance(layer, Flipout):
            spread(layer, -2.0)
    found = learner.predict(stamps)
    assert found.shape == (5, settings["passes"], 4)
    assert (found.std(axis=1) > 0).all()
    np.testing.assert_array_equal(learner.predict(stamps), found)
    # Neither its neighbours nor its batch change what is predicted for a stamp.
    np.testing.assert_allclose(learner.predict(stamps[2:3]), found[2:3], rtol=1e-4, atol=1e-3)
    learner.save(tmp_path)
    loaded = KerasLearner.load(tmp_path, Compute())
    assert loaded.digest == learner.digest
    np.testing.assert_array_equal(loaded.predict(stamps), found)
    np.testing.assert_array_equal(loaded.features(stamps), learner.features(stamps))
    assert learner.predict(stamps[:0]).shape == (0, settings["passes"], 4)


def test_dropout_of_a_pass_is_that_of_dropout() -> None:
    layer = SampledDropout(0.25)
    x = np.full((3, 400), 2.0, np.float32)
    np.testing.assert_array_equal(layer(x), x)
    layer.set_pass(1)
    first = np.asarray(layer(x))
    assert set(np.unique(first)) == {0.0, np.float32(2 / 0.75)}
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.1)
    np.testing.assert_array_equal(first[0], first[1])
    layer.set_pass(2)
    assert (np.asarray(layer(x)) != first).any()
    assert (np.asarray(layer(x, training=True))[0] != np.asarray(layer(x, training=True))[1]).any()


@pytest.mark.parametrize("settings", [BAYESIAN, DROPOUT])
def test_features_and_validation_are_without_noise(
    settings: dict[str, Any], stamps: np.ndarray
) -> None:
    model = networks.build(zoo(**settings), 16, 4)
    before = (
        networks.predict(model, stamps),
        networks.predict(networks.feature_extractor(model), stamps),
    )
    networks.samples(model, stamps)
    after = (
        networks.predict(model, stamps),
        networks.predict(networks.feature_extractor(model), stamps),
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert before[1].shape == (5, 256)


def test_in_another_precision_the_samples_stay(stamps: np.ndarray) -> None:
    network = networks.build(zoo(**BAYESIAN), 16, 4)
    half = networks.in_precision(network, "bfloat16")
    assert {layer.compute_dtype for layer in sampled_layers(half)} == {"bfloat16", "float32"}
    back = networks.in_precision(half, "float32")
    expected = networks.samples(network, stamps)
    np.testing.assert_array_equal(networks.samples(back, stamps), expected)
    assert np.abs(networks.samples(half, stamps) - expected).max() < 0.05
    assert np.isfinite(half(stamps, training=True)).all()


def test_orientations_are_averaged_sample_by_sample(stamps: np.ndarray) -> None:
    learner = KerasLearner(networks.build(zoo(**BAYESIAN), 16, 4))
    for layer in sampled_layers(learner.model):
        spread(layer, -2.0)  # type: ignore[arg-type]
    found = mean_output(learner.predict, stamps)
    assert found.shape == (5, 3, 4)
    turned = mean_output(learner.predict, np.ascontiguousarray(oriented(stamps, 5)))
    np.testing.assert_allclose(turned, found, rtol=1e-4, atol=1e-3)
