"""Networks outside training: loading them, and forward passes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

import galadapt.learners.keras.layers  # noqa: F401  (registers the layers a saved model may hold)
from galadapt.core.errors import DataError

#: Stamps per forward pass.
CHUNK = 256


def load(path: Path) -> keras.Model:
    """Load the regressor of a run folder, uncompiled.

    Raises:
        DataError: the file is missing or is not a Keras model.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: not a readable Keras model ({line}); delete its run folder and train again"
        ) from None


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the outputs (n, ...) of `model` for stamps (n, side, side, 1); n may be 0."""
    if len(images) == 0:
        return np.empty((0, *model.output_shape[1:]), np.float32)
    return model.predict(images, batch_size=CHUNK, verbose=0)
