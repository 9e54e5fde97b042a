"""The optimiser of every training."""

from __future__ import annotations

from typing import Any

import keras


class DiscriminativeAdam(keras.optimizers.Adam):
    """Adam whose steps are shorter for some variables (discriminative rates, Howard & Ruder 2018).

    Scaling gradients would change nothing: Adam divides by their size.

    Attributes:
        slow: Places, among the variables it was built with, of those that take shorter steps.
    """

    def __init__(self, learning_rate: Any, feature_rate: float = 1.0) -> None:
        """Set the rate, and its share for the slow variables."""
        super().__init__(learning_rate)
        self._feature_rate = feature_rate
        self.slow: set[int] = set()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take Adam's step at the variable's own rate."""
        if self._feature_rate < 1 and self._get_variable_index(variable) in self.slow:
            learning_rate = learning_rate * self._feature_rate
        super().update_step(gradient, variable, learning_rate)
