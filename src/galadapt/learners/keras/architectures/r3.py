"""R3's networks for fields of an X-ray camera, and its moments as the floor of them."""

from __future__ import annotations

from keras import layers

from galadapt.config.classes import ClassNetwork
from galadapt.learners.keras.architectures.registry import Tensor, architecture, convolve, pool
from galadapt.learners.keras.layers import Moments


def _r3_head(x: Tensor, network: ClassNetwork) -> Tensor:
    x = layers.Dense(128, activation=network.activation)(x)
    if network.dropout:
        x = layers.Dropout(network.dropout)(x)
    return layers.Dense(16, activation=network.activation)(x)


@architecture("r3", head=_r3_head)
def r3(x: Tensor, network: ClassNetwork) -> Tensor:
    """Two or three pooled convolutions: 3,302,305 weights for three of 3 px on fields of 162 px."""
    for filters in (16, 32, 64)[: network.convolutions]:
        x = convolve(x, filters, network.kernel, activation=network.activation)
        if network.batch_norm:
            x = layers.BatchNormalization()(x)
        x = pool(x)
    return layers.Flatten()(x)


@architecture("moments")
def moments(x: Tensor, network: ClassNetwork) -> Tensor:
    """Two dense layers on standard deviation, skewness and kurtosis: what pixels' places add."""
    x = layers.BatchNormalization()(Moments()(x))
    x = layers.Dense(16, activation="relu")(x)
    return layers.Dense(16, activation="relu")(x)
