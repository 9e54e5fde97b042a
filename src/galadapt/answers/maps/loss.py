"""The loss of maps."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Overlap(keras.losses.Loss):
    """Cross-entropy of pixels plus 1 - the Dice coefficient of the batch.

    Flagged pixels are few: the cross-entropy alone would be content to draw nothing, and the Dice
    coefficient alone gives no gradient where nothing is flagged (Milletari et al. 2016).
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare maps (n, side, side, 1); one number per stamp."""
        y_true = ops.cast(y_true, y_pred.dtype)
        crossed = ops.mean(ops.binary_crossentropy(y_true, y_pred), axis=(1, 2, 3))
        shared = 2 * ops.sum(y_true * y_pred) + 1.0
        return crossed + 1.0 - shared / (ops.sum(y_true) + ops.sum(y_pred) + 1.0)
