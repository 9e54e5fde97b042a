"""The network a training starts from: new, or that of another run."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from galadapt.answers.base import Answer
from galadapt.config.base import DOMAINS
from galadapt.core.errors import DataError
from galadapt.core.files import read_json
from galadapt.learners.job import Job
from galadapt.learners.keras import networks
from galadapt.learners.keras.data import Examples


def start(
    job: Job, side: int, target: Answer, training: dict[str, Examples]
) -> tuple[keras.Model, Answer, str]:
    """Build or load the network.

    Args:
        job: What to train.
        side: Side of a stamp [px].
        target: What it learns, not yet fitted.
        training: The training stamps per domain.

    Returns:
        The network, its target fitted, and the identity of the training.

    Raises:
        DataError: the start model is missing or does not fit, or the stamps cannot be learned from.
    """
    # Fitted to simulated labels where there are any: they cover the whole range, and no survey
    # label can leak through the fit.
    labels = training[next(name for name in DOMAINS if name in training)].labels
    if job.method.starts_from is None:
        try:
            target = target.fitted(labels, None)
        except DataError as error:
            raise DataError(f"{job.label}: {error}") from None
        return _new(job, side, target, training), target, job.identity(None)
    model, record = _load(job, side)
    if len(model.output_shape) == 4 and target.shape:
        model = networks.classify_maps(model, target.outputs, target.activation)
    try:
        target = target.fitted(labels, record.get("answer", {}))
    except DataError as error:
        raise DataError(
            f"{job.start_model}: {error}; start from a run of the same variant"
        ) from None
    return model, target, job.identity(record["identity"])


def _load(job: Job, side: int) -> tuple[keras.Model, dict[str, Any]]:
    """Load a trained network and its run.json."""
    path = job.start_model
    if path is None:
        raise DataError(
            f"{job.label}: starts from '{job.method.starts_from}' but was given no start model; "
            "train that method first"
        )
    record = read_json(path.parent / "run.json")
    model = networks.load(path)
    if model.input_shape[1] != side:
        raise DataError(
            f"{path}: was trained on stamps of {model.input_shape[1]} px, not of {side} px; "
            "start from a run of the same variant"
        )
    if job.method.trainable == "dense":
        names = [layer.name for layer in model.layers]
        for layer in model.layers[: names.index(networks.FEATURES) + 1]:
            layer.trainable = False
    return model, record


def _new(job: Job, side: int, target: Answer, training: dict[str, Examples]) -> keras.Model:
    """Build a network normalised to the training pixels."""
    moments = np.array(
        [
            (len(part), part.images.mean(dtype=np.float64), part.images.var(dtype=np.float64))
            for part in training.values()
        ]
    )
    count, means, variances = moments.T
    mean = np.average(means, weights=count)
    variance = np.average(variances + (means - mean) ** 2, weights=count)
    if not variance > 0:
        raise DataError(f"{job.label}: all training pixels are equal; check the variant's steps")
    network = job.method.network  # type: ignore[attr-defined]
    return networks.build(
        network, side, target.outputs, float(mean), float(np.sqrt(variance)), target.activation
    )
