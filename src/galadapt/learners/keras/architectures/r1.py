"""R1's two networks, with switches for what is printed and what is meant."""

from __future__ import annotations

import keras
from keras import layers

from galadapt.config.training import Network
from galadapt.learners.keras.architectures.registry import Tensor, architecture, convolve, pool


def _dense_head(x: Tensor, network: Network) -> Tensor:
    for units in (128, 64):
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
    return x


def _r1_baseline_head(x: Tensor, network: Network) -> Tensor:
    x = layers.Dropout(network.dropout)(x)
    for units in (128, 64):
        x = layers.Dense(units, activation="relu")(x)
        x = layers.Dropout(network.dropout)(x)
    return layers.BatchNormalization()(x)


@architecture("r1_baseline", head=_r1_baseline_head)
def r1_baseline(x: Tensor, network: Network) -> Tensor:
    """R1's network of the baseline and of transfer learning."""
    penalty = keras.regularizers.L2(network.l2) if network.l2 else None
    x = layers.BatchNormalization()(x)
    for block, (filters, size) in enumerate(((16, 4), (32, 4), (64, 4), (128, 4), (256, 3))):
        first = network.first_padding if block == 0 else "same"
        x = convolve(x, filters, size, padding=first, regulariser=penalty)
        x = convolve(x, filters, size, regulariser=penalty)
        x = pool(x, "valid" if block < 2 else "same")
        if block == 1:
            x = layers.BatchNormalization()(x)
    return layers.Flatten()(x)


@architecture("r1_dann", head=_dense_head)
def r1_dann(x: Tensor, network: Network) -> Tensor:
    """R1's network of adversarial adaptation: (filters, size, convolutions) before each pooling."""
    x = layers.BatchNormalization()(x)
    blocks = (
        (32, 4, 2),
        (32, 4, 2),
        (32, 4, 1),
        (64, 4, 2),
        (64, 4, 2),
        (64, 3, 2),
        (128, 3, 2),
        (128, 3, 1),
        (128, 3, 1),
        (256, 3, 1),
    )
    for block, (filters, size, count) in enumerate(blocks):
        if block == 3:
            x = layers.BatchNormalization()(x)
        for _ in range(count):
            x = convolve(x, filters, size, initialiser="he_normal")
        x = pool(x)
    return layers.Flatten()(pool(x))
