"""The registry of networks, and the pieces they share.

To add a network: a function here beside, decorated with `architecture`, and its name in the
configuration's class of networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import layers

Tensor = Any
Trunk = Callable[[Tensor, Any], Tensor]
Head = Callable[[Tensor, Any], Tensor]

#: The layer of the features, which all heads share.
FEATURES = "features"


@dataclass(frozen=True)
class Architecture:
    """A network without its last layer.

    Attributes:
        trunk: From stamps (n, side, side, 1) to features (n, f), which `networks.build` names
            `FEATURES`; where it draws, to maps, and it names its features itself.
        head: Hidden layers between the trunk and the last layer.
        draws: Whether the answer is a map of the stamp's size.
    """

    trunk: Trunk
    head: Head
    draws: bool = False


ARCHITECTURES: dict[str, Architecture] = {}


def plain(x: Tensor, network: Any) -> Tensor:
    """Put nothing between the trunk and the last layer."""
    return x


def architecture(name: str, head: Head = plain, draws: bool = False) -> Callable[[Trunk], Trunk]:
    """Register a trunk under a name, with the hidden layers that follow it."""

    def register(trunk: Trunk) -> Trunk:
        ARCHITECTURES[name] = Architecture(trunk, head, draws)
        return trunk

    return register


def convolve(
    x: Tensor,
    filters: int,
    size: int,
    *,
    stride: int = 1,
    padding: str = "same",
    regulariser: Any = None,
    initialiser: str = "glorot_uniform",
    activation: str | None = "relu",
) -> Tensor:
    """Convolve with the padding, penalty and activation most networks want."""
    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        activation=activation,
        kernel_initializer=initialiser,
        kernel_regularizer=regulariser,
    )(x)


def pool(x: Tensor, padding: str = "valid", factor: int = 2) -> Tensor:
    """Shrink the sides by a factor; a side below it stays 1 where 'valid' would leave nothing."""
    if min(x.shape[1:3]) < factor:
        padding = "same"
    return layers.MaxPooling2D(factor, padding=padding)(x)
