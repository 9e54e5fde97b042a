"""Forward passes outside training."""

from __future__ import annotations

import keras
import numpy as np

#: Stamps per forward pass.
CHUNK = 256


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the outputs (n, outputs) of `model` for stamps (n, side, side, 1); n may be 0."""
    if len(images) == 0:
        return np.empty((0, model.output_shape[1]), np.float32)
    return model.predict(images, batch_size=CHUNK, verbose=0)
