"""Adaptive batch normalisation: the moments of another domain (AdaBN, Li et al. 2016)."""

from __future__ import annotations

import keras
import numpy as np

from galadapt.core.errors import ConfigError
from galadapt.core.log import log
from galadapt.learners.keras.networks import CHUNK, predict


def check(regressor: keras.Model, label: str) -> None:
    """Refuse a network without anything to adapt, before it is trained.

    Raises:
        ConfigError: it has no batch normalisation.
    """
    if not _normalisations(regressor):
        raise ConfigError(
            f"{label}: adapt_batch_norm, but the network '{regressor.name}' has no batch "
            "normalisation; choose another network.architecture"
        )


def _normalisations(regressor: keras.Model) -> list[keras.layers.Layer]:
    kind = keras.layers.BatchNormalization
    return [layer for layer in regressor.layers if isinstance(layer, kind)]


def adapt(regressor: keras.Model, images: np.ndarray) -> None:
    """Replace the moments of every batch normalisation by those of its inputs.

    Layer by layer from the input on, because what a layer receives depends on those before it;
    over all stamps at once, so the order of the stamps plays no role.

    Args:
        regressor: Changed in place.
        images: Stamps (n, side, side, 1) of the domain to adapt to.
    """
    found = _normalisations(regressor)
    for layer in found:
        mean, variance = _moments(keras.Model(regressor.input, layer.input), images)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
    log.info(f"batch normalisations adapted to the survey: {len(found)}")


def _moments(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per channel of a layer's output, in bounded memory."""
    sums, squares, count = 0.0, 0.0, 0
    for start in range(0, len(images), CHUNK):
        values = predict(model, images[start : start + CHUNK]).astype(np.float64)
        values = values.reshape(-1, values.shape[-1])
        sums += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
        count += len(values)
    mean = np.asarray(sums / count)
    return mean, np.clip(squares / count - mean**2, 0.0, None)
