"""A network that draws: what is flagged in a stamp, pixel by pixel."""

from __future__ import annotations

from keras import layers

from galadapt.config.classes import ClassNetwork
from galadapt.learners.keras.architectures.registry import FEATURES, Tensor, architecture, convolve

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
    x = _normalised(x, _FILTERS[0], 5, stride=2)
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
    x = _normalised(x, 8, 3)
    return layers.Cropping2D(((before, margin - before),) * 2)(x)


def _block(x: Tensor, filters: int) -> Tensor:
    return _normalised(_normalised(x, filters, 3), filters, 3)


def _normalised(x: Tensor, filters: int, size: int, stride: int = 1) -> Tensor:
    x = convolve(x, filters, size, stride=stride, initialiser="he_normal", activation=None)
    return layers.ReLU()(layers.BatchNormalization()(x))
