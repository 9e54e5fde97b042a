"""Keras' optimisers by the settings of a method, with shorter steps for some variables."""

from __future__ import annotations

from typing import Any

import keras

from galadapt.config.optimizers import Optimizer


def make_optimizer(
    settings: Optimizer, learning_rate: Any, feature_rate: float = 1.0
) -> keras.optimizers.Optimizer:
    """Return an optimiser that is not built yet; its `slow` variables take shorter steps.

    Args:
        settings: Its kind and settings.
        learning_rate: A number or a schedule.
        feature_rate: Rate of the slow variables, relative to that of the others.
    """
    options: Any = settings.model_dump(exclude={"kind"})
    kind = settings.kind
    if kind in ("sgd", "momentum", "nesterov"):
        base = keras.optimizers.SGD
        options |= {"nesterov": kind == "nesterov"}
    elif kind == "adagrad":
        base = keras.optimizers.Adagrad
        options["initial_accumulator_value"] = options.pop("initial")
    elif kind == "rmsprop":
        base = keras.optimizers.RMSprop
        options["centered"] = options.pop("centred")
    else:
        base = keras.optimizers.AdamW if kind == "adamw" else keras.optimizers.Adam
    optimizer = type(f"Discriminative{base.__name__}", (_Discriminative, base), {})(
        learning_rate, **options
    )
    optimizer.feature_rate = feature_rate
    return optimizer


class _Discriminative(keras.optimizers.Optimizer):
    """Shorter steps for some variables (discriminative rates, Howard & Ruder 2018).

    Scaling gradients would change nothing where steps are divided by their size.

    Attributes:
        feature_rate: Rate of the slow variables, relative to that of the others.
        slow: Places of those among the variables that the optimiser was built with.
    """

    feature_rate: float = 1.0
    slow: frozenset[int] = frozenset()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take the step of the optimiser at the variable's own rate."""
        if self.feature_rate < 1 and self._get_variable_index(variable) in self.slow:
            learning_rate = learning_rate * self.feature_rate
        super().update_step(gradient, variable, learning_rate)
