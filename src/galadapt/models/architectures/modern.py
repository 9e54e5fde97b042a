"""Networks of our own: a small one for CPUs, a residual one, a vision transformer."""

from __future__ import annotations

from typing import Any

from keras import layers

from galadapt.models.architectures.registry import (
    Tensor,
    architecture,
    convolve,
    pool,
)


def _compact_head(x: Tensor, network: Any) -> Tensor:
    return layers.Dense(64, activation="relu", kernel_initializer="he_normal")(x)


@architecture("compact", head=_compact_head)
def compact(x: Tensor, network: Any) -> Tensor:
    """Three convolutions and 128 features: what one CPU thread trains in half a minute.

    Strides instead of pooling put the work into few, wide convolutions: at 32 px more accurate per
    CPU second than four pooled 3x3 layers. The features are few so that aligning them is possible.
    """
    for filters, size, stride in ((32, 4, 2), (48, 3, 2), (96, 3, 1)):
        x = convolve(x, filters, size, stride=stride, initialiser="he_normal")
    x = layers.Flatten()(pool(x))
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal")(x)


@architecture("residual", head=_compact_head)
def residual(x: Tensor, network: Any) -> Tensor:
    """Residual blocks (He et al. 2016, pre-activation), pooled over the stamp and over its centre.

    Normalised over the batch, never over a stamp: a layer or group normalisation divides by the
    stamp's own contrast and takes the flux away with it. Two poolings instead of a flattened map
    make the features independent of sub-pixel position and nearly of orientation, and leave the
    central galaxy apart from its neighbours.
    """
    x = _normalised(convolve(x, 16, 3, initialiser="he_normal", activation=None))
    for filters in (32, 64, 128):
        shortcut = layers.Conv2D(filters, 1, strides=2, padding="same")(x)
        x = convolve(x, filters, 3, stride=2, initialiser="he_normal", activation=None)
        x = convolve(_normalised(x), filters, 3, initialiser="he_normal", activation=None)
        x = _normalised(layers.Add()([x, shortcut]))
    border = x.shape[1] // 4
    centre = layers.Cropping2D(border)(x)
    pooled = [layers.GlobalAveragePooling2D()(part) for part in (x, centre)]
    x = layers.Concatenate()([*pooled, layers.GlobalMaxPooling2D()(centre)])
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal")(x)


def _normalised(x: Tensor) -> Tensor:
    return layers.ReLU()(layers.BatchNormalization()(x))


#: Side of a patch [px], numbers per patch, heads of the attention, blocks.
_PATCH, _WIDTH, _HEADS, _DEPTH = 4, 64, 4, 4


@architecture("vit", head=_compact_head)
def vit(x: Tensor, network: Any) -> Tensor:
    """A small vision transformer."""
    x = layers.Conv2D(_WIDTH, _PATCH, strides=_PATCH, padding="same")(x)
    x = layers.Reshape((-1, _WIDTH))(x)
    x = layers.EinsumDense("npc,cd->npd", (x.shape[1], _WIDTH), bias_axes="pd")(x)
    for _ in range(_DEPTH):
        y = layers.BatchNormalization()(x)
        y = layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS)(y, y)
        x = layers.Add()([x, y])
        y = layers.Dense(2 * _WIDTH, activation="gelu")(layers.BatchNormalization()(x))
        x = layers.Add()([x, layers.Dense(_WIDTH)(y)])
    x = layers.Flatten()(x)
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal")(x)
