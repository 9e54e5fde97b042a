"""Architectures by name: each a trunk from stamps to features, and the head that reads them.

To add one: a function here, decorated with `architecture`, and its name in the configuration's
class of networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from galadapt.config.classes import ClassNetwork
from galadapt.config.training import Network, TextbookNetwork
from galadapt.config.votes import VoteNetwork
from galadapt.learners.keras.layers import Moments, PositionedTokens
from galadapt.learners.keras.sampling import FlipoutConv2D, FlipoutDense, SampledDropout

Tensor = Any
Trunk = Callable[[Tensor, Any], Tensor]
Head = Callable[[Tensor, Any], Tensor]

#: The layer of the features, which all heads share.
FEATURES = "features"


@dataclass(frozen=True)
class Architecture:
    """A network without its last layer."""

    #: From stamps (n, side, side, channels) to features (n, f), which `networks.build` names
    #: `FEATURES`; where it draws, to maps, and it names its features itself.
    trunk: Trunk
    head: Head  #: Hidden layers between the trunk and the last layer.
    draws: bool = False  #: Whether the answer is a map of the stamp's size.


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
    padding: str = "same",
    activation: str | None = "relu",
    **options: Any,
) -> Tensor:
    """Convolve with the padding and activation of most networks; `options` are those of Keras."""
    return layers.Conv2D(filters, size, padding=padding, activation=activation, **options)(x)


def pool(x: Tensor, padding: str = "valid", factor: int = 2) -> Tensor:
    """Shrink the sides by a factor; a side below it stays 1 where 'valid' would leave nothing."""
    if min(x.shape[1:3]) < factor:
        padding = "same"
    return layers.MaxPooling2D(factor, padding=padding)(x)


def _linear(x: Tensor, filters: int, size: int, stride: int = 1) -> Tensor:
    return layers.Conv2D(filters, size, stride, "same", kernel_initializer="he_normal")(x)


def _normalised(x: Tensor) -> Tensor:
    return layers.ReLU()(layers.BatchNormalization()(x))


def _convolved(x: Tensor, filters: int, size: int, stride: int = 1) -> Tensor:
    return _normalised(_linear(x, filters, size, stride))


# --- of our own ----------------------------------------------------------------------------------


def _compact_head(x: Tensor, network: Any) -> Tensor:
    return layers.Dense(64, activation="relu", kernel_initializer="he_normal")(x)


@architecture("compact", head=_compact_head)
def compact(x: Tensor, network: Any) -> Tensor:
    """Three convolutions and 128 features: what one CPU thread trains in half a minute.

    Strides instead of pooling put the work into few, wide convolutions: at 32 px more accurate per
    CPU second than four pooled 3x3 layers. The features are few so that aligning them is possible.
    """
    for filters, size, stride in ((32, 4, 2), (48, 3, 2), (96, 3, 1)):
        x = convolve(x, filters, size, strides=stride, kernel_initializer="he_normal")
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
    x = _convolved(x, 16, 3)
    for filters in (32, 64, 128):
        shortcut = layers.Conv2D(filters, 1, strides=2, padding="same")(x)
        x = _linear(_convolved(x, filters, 3, stride=2), filters, 3)
        x = _normalised(layers.Add()([x, shortcut]))
    return _pooled(x)


def _pooled(x: Tensor) -> Tensor:
    """128 features of the means of maps over the stamp, and of means and maxima over its centre."""
    centre = layers.Cropping2D(x.shape[1] // 4)(x)
    pooled = [layers.GlobalAveragePooling2D()(part) for part in (x, centre)]
    x = layers.Concatenate()([*pooled, layers.GlobalMaxPooling2D()(centre)])
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal")(x)


@architecture("strided", head=_compact_head)
def strided(x: Tensor, network: Any) -> Tensor:
    """Five normalised convolutions, the first four in strides of 2, pooled as in `residual`.

    For colour stamps of 64 px and more: there a step costs what one of `compact` does, and there is
    no large dense layer that a few hundred labels would have to teach.
    """
    for filters, size, stride in ((32, 4, 2), (48, 3, 2), (96, 3, 2), (128, 3, 2), (128, 3, 1)):
        x = _convolved(x, filters, size, stride)
    return _pooled(x)


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
    x = convolve(x, _WIDTH // 2, 4, strides=2, kernel_initializer="he_normal")
    x = convolve(x, _WIDTH, 3, strides=2, activation=None)
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


# --- of the course, for every task ---------------------------------------------------------------


@architecture("mlp")
def mlp(x: Tensor, network: TextbookNetwork) -> Tensor:
    """Dense layers on the pixels; without any, the last layer alone: a regression on pixels."""
    x = layers.Flatten()(x)
    for units in network.mlp.units:
        x = layers.Dense(units, activation=network.mlp.activation)(x)
    return x


@architecture("cnn", head=_compact_head)
def cnn(x: Tensor, network: Any) -> Tensor:
    """Three normalised convolutions, each pooled over 3 px in steps of 2."""
    for filters in (32, 64, 128):
        x = layers.MaxPooling2D(3, strides=2, padding="same")(_convolved(x, filters, 3))
    x = layers.Flatten()(x)
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal")(x)


@architecture("token_vit", head=_compact_head)
def token_vit(x: Tensor, network: Any) -> Tensor:
    """Attend between patches of 4 px and a class token (Dosovitskiy et al. 2021), as taught.

    The features are what the token has collected. `vit` is what became of it for few stamps and
    for brightness, which a layer normalisation divides out.
    """
    x = layers.Conv2D(_WIDTH, 4, strides=4, padding="same")(x)
    x = PositionedTokens()(layers.Reshape((-1, _WIDTH))(x))
    for _ in range(_DEPTH):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS)(y, y)
        x = layers.Add()([x, y])
        y = layers.Dense(2 * _WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(_WIDTH)(y)])
    token = layers.Flatten()(layers.Cropping1D((0, x.shape[1] - 1))(x))
    return layers.LayerNormalization()(token)


# --- of the CANDELS study, with switches for the printed and the corrected form ------------------


def _dense_head(x: Tensor, network: Network) -> Tensor:
    for units in (128, 64):
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
    return x


def _candels_baseline_head(x: Tensor, network: Network) -> Tensor:
    x = layers.Dropout(network.dropout)(x)
    for units in (128, 64):
        x = layers.Dense(units, activation="relu")(x)
        x = layers.Dropout(network.dropout)(x)
    return layers.BatchNormalization()(x)


@architecture("candels_baseline", head=_candels_baseline_head)
def candels_baseline(x: Tensor, network: Network) -> Tensor:
    """The CANDELS study's network of the baseline and of transfer learning."""
    penalty = keras.regularizers.L2(network.l2) if network.l2 else None
    x = layers.BatchNormalization()(x)
    for block, (filters, size) in enumerate(((16, 4), (32, 4), (64, 4), (128, 4), (256, 3))):
        first = network.first_padding if block == 0 else "same"
        x = convolve(x, filters, size, padding=first, kernel_regularizer=penalty)
        x = convolve(x, filters, size, kernel_regularizer=penalty)
        x = pool(x, "valid" if block < 2 else "same")
        if block == 1:
            x = layers.BatchNormalization()(x)
    return layers.Flatten()(x)


@architecture("candels_dann", head=_dense_head)
def candels_dann(x: Tensor, network: Network) -> Tensor:
    """The CANDELS study's network of adversarial adaptation."""
    x = layers.BatchNormalization()(x)
    # Filters, size and convolutions before each pooling.
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
            x = convolve(x, filters, size, kernel_initializer="he_normal")
        x = pool(x)
    return layers.Flatten()(pool(x))


# --- of the star-image study, as printed ---------------------------------------------------------


def _a_head(x: Tensor, network: ClassNetwork) -> Tensor:
    return layers.Dense(32, activation=network.activation)(x)


@architecture("stars_a", head=_a_head)
def stars_a(x: Tensor, network: ClassNetwork) -> Tensor:
    """Network A: 205,891 weights for stamps of 60 px and three classes."""
    for filters, factor in ((32, 2), (64, 2), (64, 3)):
        x = convolve(x, filters, 5, activation=network.activation)
        x = pool(x, factor=factor)
    return layers.Flatten()(x)


def _b_head(x: Tensor, network: ClassNetwork) -> Tensor:
    x = layers.Dense(8, activation=network.activation)(x)
    return layers.Dropout(0.35)(x)


@architecture("stars_b", head=_b_head)
def stars_b(x: Tensor, network: ClassNetwork) -> Tensor:
    """Network B: 48,419 weights for stamps of 60 px and three classes."""
    for filters, dropped in ((16, 0.25), (32, 0.30), (64, 0.30)):
        x = pool(convolve(x, filters, 3, activation=network.activation))
        x = layers.Dropout(dropped)(x)
    return layers.Flatten()(x)


# --- of the 4XMM study, and a network of moments alone -------------------------------------------


def _xmm_head(x: Tensor, network: ClassNetwork) -> Tensor:
    x = layers.Dense(128, activation=network.activation)(x)
    if network.dropout:
        x = layers.Dropout(network.dropout)(x)
    return layers.Dense(16, activation=network.activation)(x)


@architecture("xmm", head=_xmm_head)
def xmm(x: Tensor, network: ClassNetwork) -> Tensor:
    """Two or three pooled convolutions: 3,302,305 weights for three of 3 px on fields of 162 px."""
    for filters in (16, 32, 64)[: network.convolutions]:
        x = convolve(x, filters, network.kernel, activation=network.activation)
        if network.batch_norm:
            x = layers.BatchNormalization()(x)
        x = pool(x)
    return layers.Flatten()(x)


@architecture("moments")
def moments(x: Tensor, network: ClassNetwork) -> Tensor:
    """Two dense layers on standard deviation, skewness and kurtosis: a lower limit for networks."""
    x = layers.BatchNormalization()(Moments()(x))
    x = layers.Dense(16, activation="relu")(x)
    return layers.Dense(16, activation="relu")(x)


# --- of the Galaxy Zoo study, with switches for its three networks -------------------------------


def dense(network: Any, units: int, **options: Any) -> keras.layers.Layer:
    """Return a dense layer; of a Bayesian network its weights are distributions."""
    if getattr(network, "bayesian", False):
        return FlipoutDense(units, passes=network.passes, **options)
    return layers.Dense(units, **options)


def _zoo_head(x: Tensor, network: VoteNetwork) -> Tensor:
    if network.hidden:
        x = dense(network, network.hidden, activation="relu")(x)
    if network.sampled_dropout:
        return SampledDropout(network.dropout, passes=network.passes)(x)
    return layers.Dropout(network.dropout)(x) if network.dropout else x


@architecture("zoo", head=_zoo_head)
def zoo(x: Tensor, network: VoteNetwork) -> Tensor:
    """Three normalised and pooled convolutions, and their 256 means over the stamp as features."""
    for filters in (64, 128, 256):
        if network.bayesian:
            padding, passes = network.padding, network.passes
            x = FlipoutConv2D(filters, 3, padding=padding, passes=passes)(x)
        else:
            x = convolve(x, filters, 3, padding=network.padding, activation=None)
        x = pool(_normalised(x))
    return layers.GlobalAveragePooling2D()(x)


# --- maps of flagged pixels ----------------------------------------------------------------------

#: Channels at half, a quarter and an eighth of the resolution.
_FILTERS = (16, 32, 64)


@architecture("unet", draws=True)
def unet(x: Tensor, network: ClassNetwork) -> Tensor:
    """Draw maps (U-Net, Ronneberger et al. 2015), small enough for a CPU.

    The encoder works from half the resolution on, where the cost is; the last layers see the
    pixels themselves again, so that thin defects keep their place. The features are those of the
    whole field: they weigh the channels of the deepest maps (squeeze and excitation, Hu et al.
    2018), so that what the field is like as a whole, its background or a bright source far away,
    reaches every pixel.
    """
    margin = -x.shape[1] % 2 ** len(_FILTERS)
    before = margin // 2
    pixels = x = layers.ZeroPadding2D(((before, margin - before),) * 2)(x)
    x = _convolved(x, _FILTERS[0], 5, stride=2)
    skipped = []
    for filters in _FILTERS[:-1]:
        x = _block(x, filters)
        skipped.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _block(x, _FILTERS[-1])
    pooled = layers.GlobalAveragePooling2D()(x)
    features = layers.Dense(32, activation="relu", name=FEATURES)(pooled)
    gate = layers.Dense(_FILTERS[-1], activation="sigmoid")(features)
    x = layers.Multiply()([x, layers.Reshape((1, 1, _FILTERS[-1]))(gate)])
    for filters, skip in zip(_FILTERS[-2::-1], reversed(skipped), strict=True):
        x = layers.UpSampling2D(2)(x)
        x = _block(layers.Concatenate()([x, skip]), filters)
    x = layers.Concatenate()([layers.UpSampling2D(2)(x), pixels])
    x = _convolved(x, 8, 3)
    return layers.Cropping2D(((before, margin - before),) * 2)(x)


def _block(x: Tensor, filters: int) -> Tensor:
    return _convolved(_convolved(x, filters, 3), filters, 3)
