"""Layers of our own, for any Keras 3 backend.

Importing this module registers the layers, so that saved models load with ``safe_mode=True``.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="galadapt")
class GradientReversal(keras.layers.Layer):
    """Identity forward, gradient times -lambda backward (Ganin & Lempitsky 2015, eq. 4-5).

    Lambda grows with training: lambda_max (2 / (1 + exp(-gamma p)) - 1) after a fraction p of all
    steps (their sec. 5). The layer counts the steps itself, in a variable that is saved with the
    weights: so the ramp works inside a compiled step on every backend, and resumes where it was.
    """

    def __init__(
        self, lambda_max: float = 1.0, gamma: float | None = None, steps: int = 1, **kwargs: Any
    ) -> None:
        """Ramp over `steps` training steps; without `gamma` lambda is `lambda_max` throughout."""
        super().__init__(**kwargs)
        self.lambda_max = lambda_max
        self.gamma = gamma
        self.steps = steps
        # An integer, because autocasting to half precision would miscount.
        self.taken = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="taken"
        )

    @property
    def strength(self) -> Any:
        """Lambda of the next step, a scalar tensor."""
        if self.gamma is None:
            return keras.ops.convert_to_tensor(self.lambda_max, "float32")
        progress = keras.ops.cast(self.taken, "float32") / self.steps
        # The published ramp, 2 / (1 + exp(-2 x)) - 1, is tanh(x).
        return self.lambda_max * keras.ops.tanh(0.5 * self.gamma * progress)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Pass `inputs` (any shape) through; a call in training is a step."""
        reversed_inputs = -self.strength * inputs
        if training:
            self.taken.assign(self.taken + 1)
        # The stopped term restores the value: x = -l x + stop(x + l x), whose gradient is -l.
        return reversed_inputs + keras.ops.stop_gradient(inputs - reversed_inputs)


@keras.saving.register_keras_serializable(package="galadapt")
class SignFlip(keras.layers.Layer):
    """The CANDELS study's printed gradient reversal: -x in training, x at inference.

    Its gradient is the true gradient of the flipped composite, so the features learn to HELP the
    domain head. Kept only to reproduce the print.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Flip the sign of `inputs` (any shape) in training."""
        return -inputs if training else inputs


@keras.saving.register_keras_serializable(package="galadapt")
class Moments(keras.layers.Layer):
    """Standard deviation, skewness and kurtosis of each stamp's pixels, compressed (n, 3).

    Moments of counts span decades, so the layer gives the logarithm of the standard deviation and
    the inverse hyperbolic sines of skewness and excess kurtosis (Fisher's).
    """

    def call(self, inputs: Any) -> Any:
        """Reduce stamps (n, side, side, 1)."""
        ops = keras.ops
        centred = inputs - ops.mean(inputs, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
        # A flat stamp has neither skewness nor kurtosis.
        deviation = ops.sqrt(ops.maximum(variance, 1e-24))
        scaled = centred / deviation
        skewness, kurtosis = (ops.mean(scaled**k, axis=(1, 2)) for k in (3, 4))
        parts = [ops.log(deviation[:, 0, 0]), ops.arcsinh(skewness), ops.arcsinh(kurtosis - 3.0)]
        return ops.concatenate(parts, axis=-1)


@keras.saving.register_keras_serializable(package="galadapt")
class PositionedTokens(keras.layers.Layer):
    """Put a learned class token before the tokens of a stamp, and add sinusoidal positions.

    Position p adds sin(p / 10000^(2k/f)) to feature 2k and the cosine to feature 2k + 1 (Vaswani et
    al. 2017).
    """

    def build(self, input_shape: Any) -> None:
        """Make the token, and the positions of all tokens."""
        count, features = input_shape[1] + 1, input_shape[2]
        self.token = self.add_weight(name="token", shape=(1, 1, features), initializer="zeros")
        angles = np.arange(count)[:, None] * 1e4 ** (-2 * (np.arange(features) // 2) / features)
        even = np.arange(features) % 2 == 0
        self._positions = np.where(even, np.sin(angles), np.cos(angles))[None].astype(np.float32)

    def call(self, inputs: Any) -> Any:
        """From (n, tokens, f) to (n, tokens + 1, f)."""
        ops = keras.ops
        token = ops.cast(self.token, self.compute_dtype) + ops.zeros_like(inputs[:, :1])
        found = ops.concatenate([token, inputs], axis=1)
        return found + ops.cast(self._positions, self.compute_dtype)
