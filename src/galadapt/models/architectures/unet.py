"""A network that draws: what is flagged in a stamp, pixel by pixel."""

from __future__ import annotations

from keras import layers

from galadapt.config import ClassNetwork
from galadapt.models.architectures.registry import FEATURES, Tensor, architecture, convolve

_DEPTH = 3


@architecture("unet", draws=True)
def unet(x: Tensor, network: ClassNetwork) -> Tensor:
    """Draw maps (U-Net, Ronneberger et al. 2015), small enough for a CPU.

    The features are those of the whole field: they weigh the channels of the deepest maps (squeeze
    and excitation, Hu et al. 2018), so that what the field is like as a whole, its background or a
    bright source far away, reaches every pixel.
    """
    side = x.shape[1]
    multiple = 2**_DEPTH
    margin = -side % multiple
    before = margin // 2
    x = layers.ZeroPadding2D(((before, margin - before),) * 2)(x)
    skipped = []
    for filters in (8, 16, 32):
        x = _block(x, filters)
        skipped.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _block(x, 64)
    features = layers.Dense(32, activation="relu", name=FEATURES)(
        layers.GlobalAveragePooling2D()(x)
    )
    gate = layers.Dense(64, activation="sigmoid")(features)
    x = layers.Multiply()([x, layers.Reshape((1, 1, 64))(gate)])
    for filters, skip in zip((32, 16, 8), reversed(skipped), strict=True):
        x = layers.UpSampling2D(2)(x)
        x = _block(layers.Concatenate()([x, skip]), filters)
    return layers.Cropping2D(((before, margin - before),) * 2)(x)


def _block(x: Tensor, filters: int) -> Tensor:
    for _ in range(2):
        x = convolve(x, filters, 3, initialiser="he_normal", activation=None)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return x
