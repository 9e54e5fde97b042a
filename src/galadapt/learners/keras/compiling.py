"""What Keras' `fit` trains: a network, what aligns the domains beside it, losses and optimiser."""

from __future__ import annotations

from typing import Any

import keras

from galadapt.answers.base import Answer
from galadapt.config.training import Adversarial, Training
from galadapt.learners.keras import networks
from galadapt.learners.keras.alignment import AlignmentLoss
from galadapt.learners.keras.batches import Batches
from galadapt.learners.keras.data import prints_masks
from galadapt.learners.keras.optimizer import DiscriminativeAdam
from galadapt.learners.keras.resident import fed_by_rows

#: Steps the backend runs without returning to Python where it can: the same result, sooner.
STEPS_PER_EXECUTION = 16


def compiled(
    network: keras.Model, target: Answer, method: Training, batches: Batches, by_rows: bool
) -> tuple[keras.Model, keras.Model]:
    """Prepare a network for `fit`; all models share its weights.

    Args:
        network: From stamps to answers.
        target: What it learns.
        method: How.
        batches: The stamps `fit` will be given, `by_rows` or not.
        by_rows: Copy the stamps to the device.

    Returns:
        The compiled model, and the model from stamps inside it (the same where stamps are fed).

    Raises:
        RunError: the device has no room for the stamps.
    """
    steps = method.epochs * len(batches)
    joined, losses = _joined(network, target, method, steps)
    model = fed_by_rows(joined, batches.images) if by_rows else joined
    rate = method.learning_rate
    if method.learning_rate_schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
    optimizer = DiscriminativeAdam(rate, feature_rate=method.feature_rate)
    model.compile(optimizer, steps_per_execution=STEPS_PER_EXECUTION, **losses)
    # Its moments must exist before a checkpoint can restore them.
    optimizer.build(model.trainable_variables)
    slow = {id(variable) for variable in networks.feature_variables(network)}
    optimizer.slow = {k for k, one in enumerate(model.trainable_variables) if id(one) in slow}
    return model, joined


def _joined(
    network: keras.Model, target: Answer, method: Training, steps: int
) -> tuple[keras.Model, dict[str, Any]]:
    """Join the network and what aligns the domains beside it; return them and their losses.

    Losses are averaged over the examples that carry a label, so that hidden labels do not weaken
    the term of the labels; only R1's fixed vector divides by the whole batch, as printed.
    """
    alignment = method.alignment
    reduction = "sum_over_batch_size" if prints_masks(alignment) else "mean_with_sample_weight"
    answer = target.loss(reduction)
    if alignment is None:
        # Another model of the same layers: the network itself is saved without training state.
        return keras.Model(network.input, network.outputs[0]), {"loss": answer}
    if isinstance(alignment, Adversarial):
        model = networks.add_domain_head(network, alignment, steps)
        domain: keras.losses.Loss = keras.losses.SparseCategoricalCrossentropy()
        shares = (1 - alignment.weight, alignment.weight)
    else:
        model = networks.show_features(network)
        domain = AlignmentLoss(alignment)
        shares = (1.0, alignment.weight)
    return model, {
        "loss": {networks.ANSWER: answer, networks.DOMAIN: domain},
        "loss_weights": dict(zip((networks.ANSWER, networks.DOMAIN), shares, strict=True)),
    }
