"""R2's two networks for stamps of stars, as printed."""

from __future__ import annotations

from keras import layers

from galadapt.config.classes import ClassNetwork
from galadapt.learners.keras.architectures.registry import Tensor, architecture, convolve, pool


def _a_head(x: Tensor, network: ClassNetwork) -> Tensor:
    return layers.Dense(32, activation=network.activation)(x)


@architecture("r2_a", head=_a_head)
def r2_a(x: Tensor, network: ClassNetwork) -> Tensor:
    """Network A: 205,891 weights for stamps of 60 px and three classes."""
    for filters, factor in ((32, 2), (64, 2), (64, 3)):
        x = convolve(x, filters, 5, activation=network.activation)
        x = pool(x, factor=factor)
    return layers.Flatten()(x)


def _b_head(x: Tensor, network: ClassNetwork) -> Tensor:
    x = layers.Dense(8, activation=network.activation)(x)
    return layers.Dropout(0.35)(x)


@architecture("r2_b", head=_b_head)
def r2_b(x: Tensor, network: ClassNetwork) -> Tensor:
    """Network B: 48,419 weights for stamps of 60 px and three classes."""
    for filters, dropped in ((16, 0.25), (32, 0.30), (64, 0.30)):
        x = pool(convolve(x, filters, 3, activation=network.activation))
        x = layers.Dropout(dropped)(x)
    return layers.Flatten()(x)
