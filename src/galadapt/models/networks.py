"""Networks: a trunk that ends in the features, and heads that read them.

Every architecture is a function from the normalised stamps to the feature layer; `build` adds the
input normalisation, the regression head and, for alignment, the domain head. To add one, write such
a function, register it with `@architecture`, and name it in `galadapt.config.Network`.

Input normalisation. R1 divides pixels by 255 and lets a batch normalisation come first. A stamp of
e-/s divided by 255 has a pixel variance of 1e-11 to 1e-6 while Keras' batch normalisation adds 1e-3
to the variance: the layer multiplies by at most 1/sqrt(1e-3) = 32 and the network sees 1e-4 where
it was to see 1. The default therefore rescales by one mean and one standard deviation of all
training pixels (constants inside the model, so a stamp needs no further preparation), which keeps
the relative brightness of galaxies; ``input_normalisation: none`` is the print.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from galadapt.config import Adversarial, Network
from galadapt.errors import ConfigError
from galadapt.models.layers import GradientReversal, SignFlip

Tensor = Any
Trunk = Callable[[Tensor, Network], Tensor]
Head = Callable[[Tensor, Network], Tensor]

#: Names that training and evaluation look up.
FEATURES, REGRESSION, DOMAIN, REVERSAL = "features", "parameters", "domain", "reversal"

ARCHITECTURES: dict[str, tuple[Trunk, Head]] = {}


def architecture(name: str, head: Head) -> Callable[[Trunk], Trunk]:
    """Register a trunk and the hidden layers of its regression head."""

    def register(trunk: Trunk) -> Trunk:
        ARCHITECTURES[name] = (trunk, head)
        return trunk

    return register


def _convolve(
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
    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        activation=activation,
        kernel_initializer=initialiser,
        kernel_regularizer=regulariser,
    )(x)


def _pool(x: Tensor, padding: str = "valid") -> Tensor:
    """Halve the sides; a side of 1 stays 1 where 'valid' would leave nothing."""
    if min(x.shape[1:3]) < 2:
        padding = "same"
    return layers.MaxPooling2D(2, padding=padding)(x)


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


def _compact_head(x: Tensor, network: Network) -> Tensor:
    return layers.Dense(64, activation="relu", kernel_initializer="he_normal")(x)


@architecture("compact", head=_compact_head)
def compact(x: Tensor, network: Network) -> Tensor:
    """Three convolutions and 128 features: what one CPU thread trains in half a minute.

    Strides instead of pooling put the work into few, wide convolutions: at 32 px more accurate per
    CPU second than four pooled 3x3 layers. The features are few so that aligning them is possible.
    """
    for filters, size, stride in ((32, 4, 2), (48, 3, 2), (96, 3, 1)):
        x = _convolve(x, filters, size, stride=stride, initialiser="he_normal")
    x = layers.Flatten()(_pool(x))
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal", name=FEATURES)(x)


@architecture("residual", head=_compact_head)
def residual(x: Tensor, network: Network) -> Tensor:
    """Residual blocks (He et al. 2016, pre-activation), pooled over the stamp and over its centre.

    Normalised over the batch, never over a stamp: a layer or group normalisation divides by the
    stamp's own contrast and takes the flux away with it. Two poolings instead of a flattened map
    make the features independent of sub-pixel position and nearly of orientation, and leave the
    central galaxy apart from its neighbours.
    """
    x = _normalised(_convolve(x, 16, 3, initialiser="he_normal", activation=None))
    for filters in (32, 64, 128):
        shortcut = layers.Conv2D(filters, 1, strides=2, padding="same")(x)
        x = _convolve(x, filters, 3, stride=2, initialiser="he_normal", activation=None)
        x = _convolve(_normalised(x), filters, 3, initialiser="he_normal", activation=None)
        x = _normalised(layers.Add()([x, shortcut]))
    border = x.shape[1] // 4
    centre = layers.Cropping2D(border)(x)
    pooled = [layers.GlobalAveragePooling2D()(part) for part in (x, centre)]
    x = layers.Concatenate()([*pooled, layers.GlobalMaxPooling2D()(centre)])
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal", name=FEATURES)(x)


def _normalised(x: Tensor) -> Tensor:
    return layers.ReLU()(layers.BatchNormalization()(x))


@architecture("r1_baseline", head=_r1_baseline_head)
def r1_baseline(x: Tensor, network: Network) -> Tensor:
    """R1's network of the baseline and of transfer learning."""
    penalty = keras.regularizers.L2(network.l2) if network.l2 else None
    x = layers.BatchNormalization()(x)
    for block, (filters, size) in enumerate(((16, 4), (32, 4), (64, 4), (128, 4), (256, 3))):
        first = network.first_padding if block == 0 else "same"
        x = _convolve(x, filters, size, padding=first, regulariser=penalty)
        x = _convolve(x, filters, size, regulariser=penalty)
        x = _pool(x, "valid" if block < 2 else "same")
        if block == 1:
            x = layers.BatchNormalization()(x)
    return layers.Flatten(name=FEATURES)(x)


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
            x = _convolve(x, filters, size, initialiser="he_normal")
        x = _pool(x)
    return layers.Flatten(name=FEATURES)(_pool(x))


def build(
    network: Network,
    side: int,
    outputs: int,
    input_mean: float = 0.0,
    input_scale: float = 1.0,
) -> keras.Model:
    """Build a regressor with random weights.

    Args:
        network: Which architecture, with its switches.
        side: Side of a stamp [px].
        outputs: How many parameters are predicted.
        input_mean: Mean of the training pixels, subtracted (in the unit of the variant).
        input_scale: Standard deviation of the training pixels, divided by.

    Returns:
        A model from stamps (n, side, side, 1) to standardised parameters (n, outputs), with the
        layers `FEATURES` and `REGRESSION`.

    Raises:
        ConfigError: the architecture is not registered.
    """
    try:
        trunk, head = ARCHITECTURES[network.architecture]
    except KeyError:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError(
            f"network.architecture: no '{network.architecture}'; choose one of {known}"
        ) from None
    stamps = layers.Input((side, side, 1), name="stamps")
    x = stamps
    if network.input_normalisation == "global":
        x = layers.Rescaling(
            1.0 / input_scale, offset=-input_mean / input_scale, name="normalisation"
        )(x)
    x = head(trunk(x, network), network)
    x = layers.Dense(outputs, activation=network.output_activation, name=REGRESSION)(x)
    return keras.Model(stamps, x, name=network.architecture)


def add_domain_head(regressor: keras.Model, alignment: Adversarial, steps: int) -> keras.Model:
    """Join a domain classifier to a regressor; weights of the regressor are shared.

    Args:
        regressor: From `build`, or loaded.
        alignment: Which reversal, and the schedule of its lambda.
        steps: All planned training steps, over which lambda ramps.

    Returns:
        A model from stamps to ``{REGRESSION: (n, parameters), DOMAIN: (n, 2) probabilities}``;
        with true reversal the layer `REVERSAL` tells its present lambda.
    """
    features = regressor.get_layer(FEATURES).output
    if alignment.reversal == "sign_flip":
        reversal: keras.Layer = SignFlip(name=REVERSAL)
    else:
        gamma = alignment.gamma if alignment.schedule == "ramp" else None
        reversal = GradientReversal(alignment.lambda_max, gamma, steps, name=REVERSAL)
    x = reversal(features)
    # Named, because Keras' automatic names may collide with those of a loaded regressor.
    for units in (128, 64):
        x = layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", name=f"{DOMAIN}_{units}"
        )(x)
    x = layers.Dense(2, activation="softmax", name=DOMAIN)(x)
    return keras.Model(
        regressor.input, {REGRESSION: regressor.outputs[0], DOMAIN: x}, name="adversarial"
    )


def show_features(regressor: keras.Model) -> keras.Model:
    """Return the regressor with its features as a second output, for losses that compare them."""
    features = regressor.get_layer(FEATURES).output
    return keras.Model(
        regressor.input, {REGRESSION: regressor.outputs[0], DOMAIN: features}, name="aligned"
    )


def feature_variables(regressor: keras.Model) -> list[Any]:
    """Return the trainable variables of the layers up to the features."""
    return feature_extractor(regressor).trainable_variables


def feature_extractor(regressor: keras.Model) -> keras.Model:
    """Return the part of a regressor from stamps to its features (n, f)."""
    return keras.Model(regressor.input, regressor.get_layer(FEATURES).output)
