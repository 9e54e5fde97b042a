"""Gradient reversal against its definition, and the printed sign flip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from galadapt.config.training import Compute
from galadapt.learners.keras import backend

backend.prepare(Compute())

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from galadapt.learners.keras.layers import GradientReversal, SignFlip  # noqa: E402


def gradient(layer: keras.layers.Layer, x: np.ndarray, **options: bool) -> np.ndarray:
    """Gradient of sum(layer(x)^2 / 2), which is x for the identity."""
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(variable, **options) ** 2) / 2
    return tape.gradient(loss, variable).numpy()


X = np.array([[0.3, -2.0, 5.0], [1e4, -1e-4, 0.0]], np.float32)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 7.0])
def test_reversal_is_the_identity_with_a_reversed_gradient(strength: float) -> None:
    layer = GradientReversal(lambda_max=strength)
    np.testing.assert_allclose(layer(X), X, rtol=2e-6)
    np.testing.assert_allclose(gradient(layer, X), -strength * X, rtol=2e-6)


def test_lambda_ramps_with_the_training_steps_as_published() -> None:
    layer = GradientReversal(lambda_max=0.5, gamma=10.0, steps=20)
    for step in range(21):
        published = 0.5 * (2 / (1 + np.exp(-10.0 * step / 20)) - 1)
        assert float(layer.strength) == pytest.approx(published, rel=1e-6)
        np.testing.assert_allclose(gradient(layer, X), -published * X, rtol=3e-6)
        np.testing.assert_allclose(gradient(layer, X, training=True), -published * X, rtol=3e-6)
    assert layer.trainable_variables == []


def test_sign_flip_keeps_the_true_gradient() -> None:
    layer = SignFlip()
    np.testing.assert_array_equal(layer(X, training=True), -X)
    np.testing.assert_array_equal(layer(X, training=False), X)
    # d/dx (-x)^2/2 = +x: nothing is reversed, which is why it is not the default.
    np.testing.assert_array_equal(gradient(layer, X, training=True), X)


def test_layers_load_in_safe_mode(tmp_path: Path) -> None:
    stamps = keras.layers.Input((3,))
    reversal = GradientReversal(lambda_max=0.25, gamma=3.0, steps=8)
    model = keras.Model(stamps, SignFlip()(reversal(stamps)))
    model(X, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert float(loaded.layers[1].strength) == pytest.approx(0.25 * np.tanh(0.5 * 3 / 8), rel=1e-6)
