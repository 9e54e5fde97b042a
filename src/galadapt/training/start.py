"""The regressor a training starts from: new, or that of another run."""

from __future__ import annotations

import keras
import numpy as np

from galadapt.config import DOMAINS
from galadapt.errors import DataError
from galadapt.files import read_json
from galadapt.models import networks
from galadapt.models.targets import TargetScaler
from galadapt.training import inference
from galadapt.training.data import Examples
from galadapt.training.job import Job


def start(
    job: Job, side: int, training: dict[str, Examples]
) -> tuple[keras.Model, TargetScaler, str]:
    """Build or load the regressor.

    Args:
        job: What to train.
        side: Side of a stamp [px].
        training: The training stamps per domain.

    Returns:
        The regressor, the scaling of its targets, and the identity of the training.

    Raises:
        DataError: the start model is missing or does not fit, or the stamps cannot be learned from.
    """
    if job.method.starts_from is None:
        regressor, scaler = _new(job, side, training)
        return regressor, scaler, job.identity(None)
    regressor, scaler, origin = _load(job, side)
    return regressor, scaler, job.identity(origin)


def _load(job: Job, side: int) -> tuple[keras.Model, TargetScaler, str]:
    """Load a trained regressor, the scaling of the targets it was trained on and its identity."""
    path = job.start_model
    if path is None:
        raise DataError(
            f"{job.label}: starts from '{job.method.starts_from}' but was given no start model; "
            "train that method first"
        )
    record = read_json(path.parent / "run.json")
    regressor = inference.load(path)
    scaler = TargetScaler.from_dict(record.get("target_scaling", {}))
    if scaler.parameters != job.parameters or regressor.input_shape[1] != side:
        raise DataError(
            f"{path}: predicts {', '.join(scaler.parameters)} from stamps of "
            f"{regressor.input_shape[1]} px, not {', '.join(job.parameters)} from {side} px; "
            "start from a run of the same variant"
        )
    if job.method.trainable == "dense":
        names = [layer.name for layer in regressor.layers]
        for layer in regressor.layers[: names.index(networks.FEATURES) + 1]:
            layer.trainable = False
    return regressor, scaler, record["identity"]


def _new(job: Job, side: int, training: dict[str, Examples]) -> tuple[keras.Model, TargetScaler]:
    """Build a regressor normalised to the training pixels, and fit the scaling of its targets.

    Targets are scaled to the simulated labels where there are any: they cover the whole range, and
    no survey label can leak through the scaling.
    """
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
    domain = next(name for name in DOMAINS if name in training)
    scaler = TargetScaler.fit(job.parameters, training[domain].labels, job.method.logarithmic)
    regressor = networks.build(
        job.method.network, side, len(job.parameters), float(mean), float(np.sqrt(variance))
    )
    return regressor, scaler
