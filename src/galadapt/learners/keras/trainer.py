"""One trainer for every method: one call of Keras' `fit`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from galadapt.answers.base import Answer
from galadapt.core.errors import DataError
from galadapt.core.log import log
from galadapt.learners import run_folder
from galadapt.learners.data import Data
from galadapt.learners.job import Job
from galadapt.learners.keras import adaptation, networks
from galadapt.learners.keras.batches import Batches
from galadapt.learners.keras.compiling import compiled
from galadapt.learners.keras.epochs import Checkpoint, Epochs, LabelledParts, Progress
from galadapt.learners.keras.networks import predict
from galadapt.learners.matching import matching_weights


def fit(job: Job, data: Data, answer: Answer) -> tuple[keras.Model, Progress]:
    """Train; return the network with the weights of the best epoch, and how it came to them."""
    # Networks are made in this order and no other: each layer draws the seed of its weights.
    keras.utils.clear_session()
    keras.utils.set_random_seed(job.seed)
    network = networks.in_precision(_start(job, data, answer), job.method.precision)
    if job.method.adapt_batch_norm:
        adaptation.check_batch_norm(network, job.label)
    training = dict(data.training)
    if getattr(job.method, "self_training", None) is not None:
        training["survey"] = adaptation.pseudo_labelled(training["survey"], job, answer)
    by_rows = job.compute.keeps_stamps_on_device
    batches = Batches(training, answer, job.method, job.seed, by_rows)
    validation = _validation(job, data, network, answer)
    progress = _fit(job, network, answer, batches, validation)
    if job.method.adapt_batch_norm:
        adaptation.adapt_batch_norm(network, training["survey"].images)
    return networks.in_precision(network, "float32"), progress


def _start(job: Job, data: Data, answer: Answer) -> keras.Model:
    """Build a network normalised to the training pixels, or load that of the start."""
    if job.method.starts_from is None:
        return _new(job, data, answer)
    assert job.start is not None
    start: Any = run_folder.load(job.start, job.compute).learner
    model: keras.Model = start.model
    if model.input_shape[1:] != data.shape:
        was, now = (" x ".join(map(str, shape)) for shape in (model.input_shape[1:], data.shape))
        raise DataError(
            f"{job.start}: was trained on stamps of {was}, not of {now} (side, side, channels); "
            "start from a run of the same variant"
        )
    if job.method.trainable == "dense":
        names = [layer.name for layer in model.layers]
        for layer in model.layers[: names.index(networks.FEATURES) + 1]:
            layer.trainable = False
    if len(model.output_shape) == 4 and answer.shape:
        model = networks.classify_maps(model, answer.outputs, answer.activation)
    return model


def _new(job: Job, data: Data, answer: Answer) -> keras.Model:
    moments = np.array(
        [
            (len(part), part.images.mean(dtype=np.float64), part.images.var(dtype=np.float64))
            for part in data.training.values()
        ]
    )
    count, means, variances = moments.T
    mean = np.average(means, weights=count)
    variance = np.average(variances + (means - mean) ** 2, weights=count)
    if not variance > 0:
        raise DataError(f"{job.label}: all training pixels are equal; check the variant's steps")
    network = job.method.network  # type: ignore[attr-defined]
    scale = float(np.sqrt(variance))
    side, _, channels = data.shape
    return networks.build(
        network, side, answer.outputs, float(mean), scale, answer.activation, channels
    )


def _validation(job: Job, data: Data, network: keras.Model, answer: Answer) -> LabelledParts:
    """Weigh the validation stamps.

    Where the population is matched, they are weighted by the start's predictions, once and for all:
    errors of different epochs must compare.
    """
    found: LabelledParts = {}
    for domain, part in data.validation.items():
        targets = answer.transform(part.labels)
        weights = answer.weights(targets)
        if domain == "simulated" and job.method.match_population:
            simulated, survey = (
                answer.population(predict(network, images))
                for images in (part.images, data.training["survey"].images)
            )
            weights = weights * matching_weights(simulated, survey)
        found[domain] = (part.images, targets, weights)
    return found


def _fit(
    job: Job, network: keras.Model, answer: Answer, batches: Batches, validation: LabelledParts
) -> Progress:
    """Train, from the checkpoint if there is one, and leave the network at its best weights."""
    method = job.method
    model, joined = compiled(network, answer, method, batches, job.compute.keeps_stamps_on_device)
    checkpoint = Checkpoint(job.checkpoint, job.identity)
    progress = checkpoint.load(model)
    if progress.epoch:
        log.info(f"{job.label} continues after epoch {progress.epoch}")
    epochs = Epochs(job, network, joined, answer, batches, validation, checkpoint, progress)
    # A training may have been interrupted between its last epoch and its run folder.
    if not progress.exhausted(method.patience):
        model.fit(
            batches,
            epochs=method.epochs,
            initial_epoch=progress.epoch,
            shuffle=False,
            verbose=0,
            callbacks=[epochs],
        )
    network.set_weights(progress.best_weights)
    # One by one: a loaded Keras model does not pass the switch on to its layers, and what was
    # frozen here would stay frozen in every training that starts from the saved file.
    for layer in network.layers:
        layer.trainable = True
    return progress
