"""Networks of our own: a small one for CPUs, a residual one, a vision transformer."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from galadapt.learners.keras.architectures.registry import Tensor, architecture, convolve, pool


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


#: Numbers per token, heads of the attention, blocks.
_WIDTH, _HEADS, _DEPTH = 64, 4, 4


@architecture("vit", head=_compact_head)
def vit(x: Tensor, network: Any) -> Tensor:
    """Attend between patches of 4 px (vision transformer, Dosovitskiy et al. 2021), small.

    The flux travels on the residual stream, which nothing normalises: the patches enter it as
    they are, and the features read it as it ends. Only what a block reads is normalised, over the
    batch instead of over each token (Yao et al. 2021): a layer normalisation hides the brightness
    of a patch from attention and dense layers alike, and left a third more error on validation
    stamps. The patches overlap, being embedded by two strided convolutions: so few stamps teach
    no locality to a transformer that is not built with some (Xiao et al. 2021).
    """
    x = convolve(x, _WIDTH // 2, 4, stride=2, initialiser="he_normal")
    x = convolve(x, _WIDTH, 3, stride=2, activation=None)
    x = layers.Reshape((-1, _WIDTH))(x)
    # A bias per place is a learned position embedding.
    place = keras.initializers.RandomNormal(stddev=0.02)
    x = layers.EinsumDense(
        "npc,cd->npd", (x.shape[1], _WIDTH), bias_axes="pd", bias_initializer=place
    )(x)
    for _ in range(_DEPTH):
        y = _standardised(x)
        y = layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS)(y, y)
        x = layers.Add()([x, y])
        y = layers.Dense(2 * _WIDTH, activation="gelu")(_standardised(x))
        x = layers.Add()([x, layers.Dense(_WIDTH)(y)])
    # Few numbers of every patch instead of a mean over all: where the light is, is its size.
    x = layers.Flatten()(layers.Dense(_WIDTH // 4)(x))
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal")(x)


def _standardised(x: Tensor) -> Tensor:
    # Its moments follow quickly: Keras' default looks back over 100 steps, the demo's epoch.
    return layers.BatchNormalization(momentum=0.9)(x)
