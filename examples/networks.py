"""A network of your own: a function from stamps to features, built of Keras' layers.

Named in a configuration by ``network: {architecture: "examples/networks.py:wide"}``. An edit of
this file trains again the methods that name it, and nothing else.
"""

from typing import Any

from keras import layers


def wide(x: Any, network: Any) -> Any:
    """Convolve with large kernels, and pool over the whole stamp and over its centre.

    Args:
        x: Normalised stamps (n, side, side, channels).
        network: The method's settings under ``network``.

    Returns:
        Features (n, f); galadapt adds the last layer.
    """
    for filters, size in ((16, 7), (32, 5), (64, 3)):
        x = layers.Conv2D(filters, size, strides=2, padding="same", activation="relu")(x)
    border = x.shape[1] // 4
    pooled = [
        layers.GlobalAveragePooling2D()(x),
        layers.GlobalMaxPooling2D()(layers.Cropping2D(border)(x)),
    ]
    return layers.Dense(64, activation="relu")(layers.Concatenate()(pooled))
