"""What Keras' `fit` trains: a network, what aligns the domains beside it, losses and optimiser.

Where stamps stay in the accelerator's memory, a step is sent rows instead of images: a stamp of
128 px is 64 KiB, its row and orientation are 8 bytes. What a network is shown is the same, bit by
bit.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from galadapt.answers.base import Answer
from galadapt.config.training import Adversarial, Training
from galadapt.core.errors import RunError
from galadapt.learners.data import prints_masks
from galadapt.learners.keras import networks
from galadapt.learners.keras.alignment import AlignmentLoss
from galadapt.learners.keras.batches import ORIENTATION, ROW, Batches
from galadapt.learners.keras.optimizers import make_optimizer
from galadapt.learners.keras.sampling import with_prior

#: Steps the backend runs without returning to Python where it can: the same result, sooner.
STEPS_PER_EXECUTION = 16


def compiled(
    network: keras.Model, answer: Answer, method: Training, batches: Batches, by_rows: bool
) -> tuple[keras.Model, keras.Model]:
    """Prepare a network for `fit`; all models share its weights.

    Returns:
        The compiled model, and the model from stamps inside it (the same unless `by_rows`).

    Raises:
        RunError: `by_rows`, and the device has no room for the stamps.
    """
    steps = method.epochs * len(batches)
    joined, losses = _joined(network, answer, method, steps)
    model = fed_by_rows(joined, batches.images) if by_rows else joined
    rate = method.learning_rate
    if method.learning_rate_schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
    optimizer = make_optimizer(method.optimizer, rate, method.feature_rate)
    model.compile(optimizer, steps_per_execution=STEPS_PER_EXECUTION, **losses)
    # Its state must exist before a checkpoint can restore them.
    optimizer.build(model.trainable_variables)
    features = networks.feature_extractor(network)
    slow = {id(variable) for variable in features.trainable_variables}
    optimizer.slow = frozenset(
        k for k, one in enumerate(model.trainable_variables) if id(one) in slow
    )
    return model, joined


def _joined(
    network: keras.Model, answer: Answer, method: Training, steps: int
) -> tuple[keras.Model, dict[str, Any]]:
    """Join the network and what aligns the domains beside it; return them and their losses.

    Losses are averaged over the examples that carry a label, so that hidden labels do not weaken
    the term of the labels; only the fixed vector divides by the whole batch, as printed.
    """
    alignment = method.alignment
    reduction = "sum_over_batch_size" if prints_masks(alignment) else "mean_with_sample_weight"
    loss = answer.loss(reduction)
    network = with_prior(network)
    if alignment is None:
        # Another model of the same layers: the network itself is saved without training state.
        return keras.Model(network.input, network.outputs[0]), {"loss": loss}
    if isinstance(alignment, Adversarial):
        model = networks.add_domain_head(network, alignment, steps)
        domain: keras.losses.Loss = keras.losses.SparseCategoricalCrossentropy()
        shares = (1 - alignment.weight, alignment.weight)
    else:
        model = networks.show_features(network)
        domain = AlignmentLoss(alignment)
        shares = (1.0, alignment.weight)
    return model, {
        "loss": {networks.ANSWER: loss, networks.DOMAIN: domain},
        "loss_weights": dict(zip((networks.ANSWER, networks.DOMAIN), shares, strict=True)),
    }


class Resident(layers.Layer):
    """Stamps (n, side, side, channels) in the device's memory, looked up by row and turned."""

    def __init__(self, images: np.ndarray, **kwargs: Any) -> None:
        """Copy the stamps, float32, to the device."""
        super().__init__(dtype="float32", **kwargs)
        self.images = self.add_weight(
            shape=images.shape,
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(images, dtype),
            dtype="float32",
            trainable=False,
            name="images",
        )

    def call(self, inputs: dict[str, Any]) -> Any:
        """Return the stamps (batch, side, side, channels) of `ROW`, each in its `ORIENTATION`."""
        stamps = keras.ops.take(self.images, inputs[ROW], axis=0)
        return oriented_each(stamps, inputs[ORIENTATION])


def oriented_each(images: Any, orientations: Any) -> Any:
    """Turn every stamp (n, side, side, ...) by its own orientation (n,), as tensors."""
    ops = keras.ops
    each = ops.reshape(orientations, (-1, *(1 for _ in images.shape[1:])))
    turned = images
    for turns in (1, 2, 3):
        turned = ops.where(each % 4 == turns, ops.rot90(images, turns, axes=(1, 2)), turned)
    return ops.where(each >= 4, ops.flip(turned, axis=1), turned)


def fed_by_rows(model: keras.Model, images: np.ndarray) -> keras.Model:
    """Return `model` fed by rows and orientations of `images`, which the device keeps.

    Raises:
        RunError: the device has no room for them.
    """
    inputs = {name: layers.Input((), dtype="int32", name=name) for name in (ROW, ORIENTATION)}
    try:
        stamps = Resident(images, name="resident")(inputs)
    except Exception as error:
        # Every backend has an error of its own for this.
        if not any(words in str(error).lower() for words in ("resource_exhausted", "memory")):
            raise
        raise RunError(
            f"the device has no room for {images.nbytes / 2**30:.1f} GiB of training stamps; set "
            "compute.stamps_on_device: false"
        ) from None
    return keras.Model(inputs, model(stamps), name=f"{model.name}_by_rows")


def learned(model: keras.Model) -> list[Any]:
    """Return all variables of a model but resident stamps."""
    resident = [layer for layer in model.layers if isinstance(layer, Resident)]
    kept = {id(variable) for layer in resident for variable in layer.variables}
    return [variable for variable in model.variables if id(variable) not in kept]
