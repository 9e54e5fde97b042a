"""The network for any image, and the likelihood it is trained with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from galadapt.general.inputs import Inputs
from galadapt.general.run import (
    E_MIDDLE,
    E_SPREAD,
    MIDDLE,
    OUTPUTS,
    SPREAD,
    TRIANGLE,
    P,
    limited,
)


def build(sample: Inputs) -> keras.Model:
    """Build the network: two small convolutional trunks and one of dense layers, joined.

    Args:
        sample: Inputs of any stamps, for their shapes.

    Returns:
        A model of three inputs, those of the sample without the anchor, to outputs (n, 37) as
        `galadapt.general.run.split` reads them.
    """
    named = zip(Inputs._fields[:3], sample[:3], strict=True)
    given = [keras.Input(array.shape[1:], name=name) for name, array in named]
    x = _conv(given[0], 24, 5, 2)
    x = _conv(x, 48, 3, 2)
    x = _residual(x, 48)
    x = _conv(x, 64, 3, 2)
    x = _residual(x, 64)
    x = layers.Flatten()(x)
    x = _dense(x, 160)
    y = _conv(given[1], 24, 3, 2)
    y = _conv(y, 48, 3, 2)
    y = _residual(y, 48)
    y = _conv(y, 64, 3, 2)
    y = layers.Flatten()(y)
    y = _dense(y, 96)
    z = _dense(layers.BatchNormalization(momentum=0.98)(given[2]), 192)
    z = layers.Add()([z, _dense(_dense(z, 192), 192)])
    joined = layers.Concatenate()([x, y, z])
    x = _dense(joined, 256)
    x = layers.Add()([x, _dense(_dense(x, 256), 256)])
    features = _dense(x, 128, "features")
    out = layers.Dense(OUTPUTS, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01))(
        layers.Concatenate()([features, x])
    )
    return keras.Model(given, out, name="general")


def _conv(x: Any, filters: int, size: int, stride: int) -> Any:
    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
    )(x)


def _residual(x: Any, filters: int) -> Any:
    """Two convolutions beside the identity; starts as the identity."""
    y = _conv(x, filters, 3, 1)
    y = layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")(y)
    return layers.ReLU()(layers.Add()([x, y]))


def _gelu(x: Any) -> Any:
    """The form with tanh, which ONNX has."""
    return keras.activations.gelu(x, approximate=True)


def _dense(x: Any, units: int, name: str | None = None) -> Any:
    return layers.Dense(units, activation=_gelu, kernel_initializer="he_normal", name=name)(x)


def scaled(theta: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Turn vectors (n, 7) into the network's units, and append the ellipticity (n, 8)."""
    relative = theta.copy()
    relative[:, 0] -= anchor
    e = np.hypot(theta[:, 3], theta[:, 4])
    return np.concatenate(
        [(relative - MIDDLE) / SPREAD, (e[:, None] - E_MIDDLE) / E_SPREAD], axis=1
    ).astype(np.float32)


def squared_error(targets: Any, outputs: Any) -> Any:
    """Loss of the warm-up: robust squared error of the means."""
    means = ops.concatenate([outputs[:, :P], outputs[:, P + TRIANGLE : P + TRIANGLE + 1]], axis=1)
    return ops.mean(ops.sqrt(1.0 + ops.square(means - targets)) - 1.0)


def negative_log_likelihood(targets: Any, outputs: Any) -> Any:
    """Gaussian with full covariance, and a Gaussian of the ellipticity; mean over the batch."""
    residual = targets[:, :P] - outputs[:, :P]
    raw = outputs[:, P : P + TRIANGLE]
    logs = -limited(raw[:, :P], ops.tanh)
    # z = L^T-like whitening: z_i = exp(log_i) (r_i + sum_{j<i} l_ij r_j).
    whitened = []
    place = P
    for i in range(P):
        total = residual[:, i]
        for j in range(i):
            total = total + raw[:, place] * residual[:, j]
            place += 1
        whitened.append(ops.exp(logs[:, i]) * total)
    square = ops.sum(ops.square(ops.stack(whitened, axis=1)), axis=1)
    loss = 0.5 * _tamed(square) - ops.sum(logs, axis=1)
    log_e = limited(outputs[:, -1], ops.tanh)
    e = ops.square((targets[:, P] - outputs[:, -2]) * ops.exp(-log_e))
    return ops.mean(loss + 0.5 * _tamed(e) + log_e)


def _tamed(square: Any) -> Any:
    """Leave squares as they are up to some 30 and grow like their root beyond: outliers."""
    return ops.where(square < 36.0, square, 12.0 * ops.sqrt(ops.maximum(square, 36.0)) - 36.0)
