"""Layers of adversarial domain alignment, for any Keras 3 backend.

Importing this module registers the layers, so that saved models load with ``safe_mode=True``.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="galadapt")
class GradientReversal(keras.layers.Layer):
    """Identity forward, gradient times -lambda backward (Ganin & Lempitsky 2015, eq. 4-5).

    `strength` is lambda, a variable outside the optimiser's reach: a schedule assigns it between
    steps without compiling anything again.
    """

    def __init__(self, initial: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial = initial
        self.strength = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(initial),
            trainable=False,
            name="strength",
        )

    def call(self, inputs: Any) -> Any:
        """Pass `inputs` (any shape) through."""
        reversed_inputs = -self.strength * inputs
        # The stopped term restores the value: x = -l x + stop(x + l x), whose gradient is -l.
        return reversed_inputs + keras.ops.stop_gradient(inputs - reversed_inputs)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable(package="galadapt")
class SignFlip(keras.layers.Layer):
    """What R1 prints as gradient reversal: -x in training, x at inference.

    Its gradient is the true gradient of the flipped composite, so the features learn to HELP the
    domain head. Kept only to reproduce the print.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Flip the sign of `inputs` (any shape) in training."""
        return -inputs if training else inputs
