"""Adaptation to the survey that needs no label of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from galadapt.core.errors import ConfigError, DataError
from galadapt.core.log import log
from galadapt.learners import run_folder
from galadapt.learners.data import Examples
from galadapt.learners.job import Job
from galadapt.learners.keras.networks import CHUNK, predict
from galadapt.learners.orientations import each_orientation


def pseudo_labelled(part: Examples, job: Job, answer: Any) -> Examples:
    """Give survey stamps the labels that trained networks predict, where these agree best.

    A network learns its own predictions on the survey (Lee 2013), which adapts it to the survey's
    images without a label. Wrong ones would be learned as well, so only those are taken on which
    all seeds of the start agree in all orientations of a stamp (a deep ensemble: Lakshminarayanan
    et al. 2017).

    Returns:
        The survey's training stamps `part`; labels are the mean over the job's teachers and
        orientations for the share `keep` whose predictions scatter least (root mean square over
        all targets), NaN elsewhere.

    Raises:
        DataError: no teacher was given, or one learned something else.
    """
    if not job.teachers:
        raise DataError(f"{job.label}: self_training was given no network to learn from")
    outputs = np.stack([_outputs(path, job, part.images, answer) for path in job.teachers])
    mean = outputs.mean(axis=(0, 1))
    scatter = np.sqrt(outputs.var(axis=(0, 1)).mean(axis=1))
    keep: float = job.method.self_training.keep  # type: ignore[attr-defined]
    kept = np.argsort(scatter, kind="stable")[: max(1, round(keep * len(part)))]
    labels = np.full_like(part.labels, np.nan)
    labels[kept] = answer.labels_of(mean[kept])
    log.info(
        f"{job.label}: {len(kept)} of {len(part)} survey stamps learn the predictions of "
        f"{len(job.teachers)} networks, which scatter by {np.median(scatter[kept]):.3f} (all: "
        f"{np.median(scatter):.3f}) in the units of training"
    )
    return replace(part, labels=labels)


def _outputs(path: Path, job: Job, images: np.ndarray, answer: Any) -> np.ndarray:
    """Standardised outputs of one network in all 8 orientations, (8, n, parameters)."""
    teacher: Any = run_folder.load(path, job.compute)
    if getattr(teacher.answer, "names", None) != answer.names:
        raise DataError(f"{path}: learned something else than {', '.join(answer.names)}")
    if teacher.learner.side != images.shape[1]:
        raise DataError(
            f"{path}: was trained on stamps of {teacher.learner.side} px, not of "
            f"{images.shape[1]} px; learn from a run of the same variant"
        )
    found = each_orientation(teacher.learner.predict, images)
    return np.stack([answer.transform(teacher.answer.inverse(one)) for one in found])


def check_batch_norm(network: keras.Model, label: str) -> None:
    """Refuse a network without batch normalisation (ConfigError), before it is trained."""
    if not _normalisations(network):
        raise ConfigError(
            f"{label}: adapt_batch_norm, but the network '{network.name}' has no batch "
            "normalisation; choose another network.architecture"
        )


def adapt_batch_norm(network: keras.Model, images: np.ndarray) -> None:
    """Replace the moments of every batch normalisation, in place, by those of its inputs.

    Adaptive batch normalisation (AdaBN, Li et al. 2016) to a domain's stamps (n, side, side, ...):
    layer by layer from the input on, because what a layer receives depends on those before it; over
    all stamps at once, so the order of the stamps plays no role.
    """
    found = _normalisations(network)
    for layer in found:
        mean, variance = _moments(keras.Model(network.input, layer.input), images)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
    log.info(f"batch normalisations adapted to the survey: {len(found)}")


def _normalisations(network: keras.Model) -> list[keras.layers.Layer]:
    kind = keras.layers.BatchNormalization
    return [layer for layer in network.layers if isinstance(layer, kind)]


def _moments(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per channel of a layer's output, in bounded memory."""
    sums, squares, count = 0.0, 0.0, 0
    for start in range(0, len(images), CHUNK):
        values = predict(model, images[start : start + CHUNK]).astype(np.float64)
        values = values.reshape(-1, values.shape[-1])
        sums += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
        count += len(values)
    mean = np.asarray(sums / count)
    return mean, np.clip(squares / count - mean**2, 0.0, None)
