"""Networks: a trunk that ends in the features, and heads that read them.

Every architecture of `galadapt.learners.keras.architectures` is a function from the normalised
stamps to the features; `build` adds the input normalisation and the last layer, `add_domain_head`
what aligns the domains.

One network per parameter (``per_parameter``) is one Keras model in which a trunk and a head of
their own lead to each output. The loss is the mean of the outputs' losses, and Adam divides each
weight's gradient by its own size: but for Adam's epsilon, all weights go as in networks trained
side by side on the same batches. Two things differ from that: the best epoch is chosen for all
outputs together, and an L2 penalty (candels_baseline) weighs more against a share of the loss.

Input normalisation. The CANDELS study divides pixels by 255 and begins with a batch normalisation.
A stamp of e-/s divided by 255 has a pixel variance of 1e-11 to 1e-6, and Keras adds 1e-3 to the
variance: the layer multiplies by at most 1/sqrt(1e-3) = 32, and the network's input is 1e-4 instead
of 1. The default therefore rescales by one mean and one standard deviation of all
training pixels (constants inside the model, so a stamp needs no further preparation), which keeps
the relative brightness of galaxies; ``input_normalisation: none`` is the printed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from galadapt.config.training import Adversarial, Network, OwnAlignment
from galadapt.core.errors import ConfigError, lacks_memory, reading
from galadapt.core.imports import errors_named, function, is_import_path
from galadapt.learners.keras.alignment import check_own
from galadapt.learners.keras.architectures import (
    ARCHITECTURES,
    FEATURES,
    Architecture,
    Tensor,
    dense,
    plain,
)
from galadapt.learners.keras.layers import GradientReversal, SignFlip
from galadapt.learners.keras.sampling import sampled_layers

#: Names that training and evaluation look up.
ANSWER, DOMAIN, REVERSAL = "answer", "domain", "reversal"
NORMALISATION = "normalisation"

#: Stamps per forward pass.
CHUNK = 256

#: Layers that compute in float32 whatever the others do: three digits are too few for what goes
#: into a network, and for what is compared or reported.
_EXACT = (NORMALISATION, FEATURES, ANSWER)


def build(
    network: Any,
    side: int,
    outputs: int,
    input_mean: float = 0.0,
    input_scale: float = 1.0,
    activation: str = "linear",
    channels: int = 1,
) -> keras.Model:
    """Build a network with random weights.

    Args:
        network: Which architecture, with its switches: a `Network` or a `ClassNetwork`.
        side: Side of a stamp [px].
        outputs: Outputs for a stamp, or for each pixel where it draws.
        input_mean, input_scale: Mean and standard deviation of the training pixels.
        activation: Of the last layer.
        channels: Channels of a stamp.

    Returns:
        From stamps (n, side, side, channels) to outputs (n, outputs), or where it draws
        (n, side, side, outputs), with the layers `FEATURES` and `ANSWER`.

    Raises:
        ConfigError: the architecture is not registered; one of the user's own does not work.
    """
    architecture = _architecture(network.architecture)
    stamps = layers.Input((side, side, channels), name="stamps")
    x = stamps
    if network.input_normalisation == "global":
        x = layers.Rescaling(
            1.0 / input_scale, offset=-input_mean / input_scale, name=NORMALISATION
        )(x)
    if architecture.draws:
        x = architecture.head(architecture.trunk(x, network), network)
        x = layers.Conv2D(outputs, 1, activation=activation, name=ANSWER)(x)
    elif isinstance(network, Network) and network.per_parameter:
        x = _one_network_each(x, architecture, network, outputs, activation)
    else:
        x = layers.Identity(name=FEATURES)(architecture.trunk(x, network))
        last = dense(network, outputs, activation=activation, name=ANSWER)
        x = last(architecture.head(x, network))
    with errors_named(network.architecture):
        model = keras.Model(stamps, x, name=network.architecture.rpartition(":")[2])
    if is_import_path(network.architecture):
        _refuse_unreadable(model, network.architecture)
    return model


def _architecture(name: str) -> Architecture:
    """Find a registered architecture, or import the trunk of one of the user's own."""
    if is_import_path(name):
        return Architecture(_own_trunk(name), plain)
    try:
        return ARCHITECTURES[name]
    except KeyError:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError(
            f"network.architecture: no '{name}'; choose one of {known}, or FILE.py:FUNCTION"
        ) from None


def _own_trunk(name: str) -> Callable[[Tensor, Any], Tensor]:
    """Import a trunk of the user's own; a ConfigError if it fails or returns no features (n, f)."""
    own = function(name)

    def trunk(x: Tensor, network: Any) -> Tensor:
        with errors_named(name):
            features = own(x, network)
        if not isinstance(features, keras.KerasTensor):
            returned = "None" if features is None else f"a {type(features).__name__}"
            raise ConfigError(
                f"{name}: returns {returned}; return one tensor, the "
                "features (n, f) of its argument"
            )
        if len(features.shape) != 2 or features.shape[1] is None:
            shape = ", ".join("n" if one is None else str(one) for one in features.shape)
            raise ConfigError(
                f"{name}: returns features of shape ({shape}), not (n, f); "
                "end it with a pooling layer or Flatten"
            )
        return features

    return trunk


def check(method: Any, side: int, channels: int) -> None:
    """Try what a method names of the user's own, its network and its alignment, before training.

    Raises:
        ConfigError: a function fails, or returns something else than it should; the network could
            not be opened again from its file.
    """
    features = 16
    if method.starts_from is None and is_import_path(method.network.architecture):
        model = build(method.network, side, 2, channels=channels)
        features = model.get_layer(FEATURES).output.shape[1]
    if isinstance(method.alignment, OwnAlignment):
        check_own(method.alignment, features)


def _refuse_unreadable(model: keras.Model, name: str) -> None:
    """Refuse a network that Keras' safe mode could not open again, such as one with a Lambda."""
    for layer in _operations(model):
        if type(layer).__module__.partition(".")[0] not in ("keras", "galadapt"):
            raise ConfigError(
                f"network.architecture: {name}: has a layer class of its own, "
                f"{type(layer).__name__}, without which it cannot be opened again; build it of "
                "Keras' layers"
            )
    try:
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(model), safe_mode=True
        )
    except Exception as error:
        if lacks_memory(error):
            raise
        lambdas = [one.name for one in _operations(model) if isinstance(one, layers.Lambda)]
        reason = " ".join(str(error).split())
        reason = f"it has a Lambda layer ({lambdas[0]})" if lambdas else f"{reason[:300]} ..."
        raise ConfigError(
            f"{name}: once saved it could not be opened again: {reason}; "
            "use other layers of Keras, or functions of keras.ops"
        ) from error


def _operations(model: keras.Model) -> Iterator[Any]:
    """Yield the layers and operations of a network, and of networks inside it."""
    for one in model.operations:
        yield one
        if isinstance(one, keras.Model):
            yield from _operations(one)


def _one_network_each(
    x: Tensor, architecture: Architecture, network: Network, outputs: int, activation: str
) -> Tensor:
    """Put a trunk and a head of its own under every output.

    All heads read from the one layer of the features, the trunks' joined, so that whatever looks
    the features up finds those of the whole network; each head is given its own trunk's part.
    """
    trunks = [architecture.trunk(x, network) for _ in range(outputs)]
    features = layers.Concatenate(name=FEATURES)(trunks)
    rows = layers.Reshape((outputs, -1))(features)
    answers = []
    for k in range(outputs):
        own = layers.Flatten()(layers.Cropping1D((k, outputs - 1 - k))(rows))
        answers.append(layers.Dense(1, activation=activation)(architecture.head(own, network)))
    return layers.Concatenate(name=ANSWER)(answers)


def in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Return `model`, or a copy that computes in `precision`; its weights stay float32."""

    def policy(layer: keras.Layer) -> str:
        mixed = precision != "float32" and layer.name not in _EXACT
        return f"mixed_{precision}" if mixed else "float32"

    def recast(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": policy(layer)})

    computing = [one for one in model.layers if not isinstance(one, layers.InputLayer)]
    if all(one.dtype_policy.name == policy(one) for one in computing):
        return model
    copy = keras.models.clone_model(model, clone_function=recast)
    copy.set_weights(model.get_weights())
    return copy


def classify_maps(drawer: keras.Model, outputs: int, activation: str) -> keras.Model:
    """Put a classifier on the last maps of a network that draws, and on its features.

    The maps are pooled (their largest values and their means); weights are shared.
    """
    maps = drawer.get_layer(ANSWER).input
    # Named, because Keras' automatic names may collide with those of a loaded network.
    largest = layers.GlobalMaxPooling2D(name="maps_largest")(maps)
    mean = layers.GlobalAveragePooling2D(name="maps_mean")(maps)
    features = drawer.get_layer(FEATURES).output
    x = layers.Concatenate(name="maps_and_features")([largest, mean, features])
    x = layers.Dense(32, activation="relu", kernel_initializer="he_normal", name="reading")(x)
    x = layers.Dense(outputs, activation=activation, name=ANSWER)(x)
    return keras.Model(drawer.input, x, name="map_classifier")


def add_domain_head(network: keras.Model, alignment: Adversarial, steps: int) -> keras.Model:
    """Join a domain classifier to a network; its weights are shared.

    Returns:
        From stamps to ``{ANSWER: (n, outputs), DOMAIN: (n, 2) probabilities}``; lambda of the
        reversal ramps over `steps` training steps.
    """
    features = network.get_layer(FEATURES).output
    if alignment.reversal == "sign_flip":
        reversal: keras.Layer = SignFlip(name=REVERSAL)
    else:
        gamma = alignment.gamma if alignment.schedule == "ramp" else None
        reversal = GradientReversal(alignment.lambda_max, gamma, steps, name=REVERSAL)
    x = reversal(features)
    # Named, because Keras' automatic names may collide with those of a loaded network.
    hidden = {"activation": "relu", "kernel_initializer": "he_normal"}
    for units in (128, 64):
        x = layers.Dense(units, name=f"{DOMAIN}_{units}", **hidden)(x)
    x = layers.Dense(2, activation="softmax", name=DOMAIN)(x)
    return keras.Model(network.input, {ANSWER: network.outputs[0], DOMAIN: x}, name="adversarial")


def show_features(network: keras.Model) -> keras.Model:
    """Return the network with its features as a second output, for losses that compare them."""
    features = network.get_layer(FEATURES).output
    outputs = {ANSWER: network.outputs[0], DOMAIN: features}
    return keras.Model(network.input, outputs, name="aligned")


def feature_extractor(network: keras.Model) -> keras.Model:
    """Return the part of a network from stamps to its features (n, f)."""
    return keras.Model(network.input, network.get_layer(FEATURES).output)


def load(path: Path) -> keras.Model:
    """Load a saved network, uncompiled; a DataError if it is missing or no Keras model."""
    remedy = "delete its run folder and train again"
    with reading(path, "not a readable Keras model", remedy, (OSError, ValueError)):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the outputs (n, ...) of `model` for stamps (n, side, side, channels); n may be 0."""
    if len(images) == 0:
        return np.empty((0, *model.output_shape[1:]), np.float32)
    return model.predict(images, batch_size=CHUNK, verbose=0)


def samples(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the outputs of every pass of a network that has a distribution, (n, passes, outputs).

    Pass k is the same network for all stamps, in every call; `predict`, and with it features and
    validation, uses the network without noise.
    """
    drawing = sampled_layers(model)
    found = []
    try:
        for number in range(1, max(layer.passes for layer in drawing) + 1):
            for layer in drawing:
                layer.set_pass(number)
            found.append(predict(model, images))
    finally:
        for layer in drawing:
            layer.set_pass(0)
    return np.stack(found, axis=1)
