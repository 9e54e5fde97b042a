"""One trainer for every method: one call of Keras' `fit`."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from typing import cast

import keras
import numpy as np

from galadapt.answers import registry as targets
from galadapt.answers.base import Answer
from galadapt.answers.numbers.answer import Numbers
from galadapt.config.classes import ClassMethod
from galadapt.config.training import Method, Training
from galadapt.core.errors import DataError
from galadapt.core.log import log
from galadapt.core.quantity import QUANTITIES
from galadapt.learners import run_folder
from galadapt.learners.job import Job
from galadapt.learners.keras import batch_norm, callbacks, networks
from galadapt.learners.keras.batches import Batches
from galadapt.learners.keras.checkpoint import Checkpoint, Progress
from galadapt.learners.keras.compiling import compiled
from galadapt.learners.keras.data import Examples, read_training
from galadapt.learners.keras.networks import predict
from galadapt.learners.keras.self_training import pseudo_labelled
from galadapt.learners.keras.start import start
from galadapt.learners.matching import matching_weights
from galadapt.stamps.format import StampSet


def run(job: Job, extra: Sequence[keras.callbacks.Callback] = ()) -> None:
    """Train and write the run folder; see `galadapt.learners.train.train`.

    Args:
        job: What to train.
        extra: Callbacks to call after the trainer's own.
    """
    started = datetime.datetime.now(datetime.UTC)
    keras.utils.clear_session()
    keras.utils.set_random_seed(job.seed)
    with contextlib.ExitStack() as opened:
        sets = {domain: opened.enter_context(StampSet(path)) for domain, path in job.stamps.items()}
        side = _common_side(sets)
        measured = [QUANTITIES[name] for name in job.parameters]
        target = targets.of_method(job.method, measured, next(iter(sets.values())))
        training = read_training(sets, "train", target, job.method)
        network, target, identity = start(job, side, target, training)
        network = networks.in_precision(network, job.method.precision)
        if job.method.adapt_batch_norm:
            batch_norm.check(network, job.label)
        if isinstance(job.method, Method) and job.method.self_training is not None:
            training["survey"] = pseudo_labelled(
                training["survey"],
                job.teachers,
                cast(Numbers, target),
                job.method.self_training,
                job.label,
            )
        copies = _copies(job.method, sets, training)
        batches = Batches(
            training, target, job.method, job.seed, copies, job.compute.keeps_stamps_on_device
        )
        validation = _validation(job, sets, network, target, training)
        checkpoint = Checkpoint(job.checkpoint, identity)
        progress = _fit(job, network, target, batches, validation, checkpoint, extra)
        if job.method.adapt_batch_norm:
            batch_norm.adapt(network, training["survey"].images)
        network = networks.in_precision(network, "float32")
        run_folder.write(job, sets, network, target, progress, identity, started)
    checkpoint.remove()


def _copies(
    method: Training, sets: dict[str, StampSet], training: dict[str, Examples]
) -> dict[str, np.ndarray] | None:
    """Say how often each training stamp is shown in an epoch; a hidden label is never counted."""
    if not isinstance(method, ClassMethod) or not method.copies:
        return None
    found = {}
    for domain, part in training.items():
        labels = sets[domain].table["label"].to_numpy(object)[part.rows]
        times = np.array([method.copies.get(str(label), 1) for label in labels])
        found[domain] = np.where(part.labelled, times, 1)
    return found


def _validation(
    job: Job,
    sets: dict[str, StampSet],
    network: keras.Model,
    target: Answer,
    training: dict[str, Examples],
) -> callbacks.LabelledParts:
    """Read the validation stamps whose labels may be used, and weigh them.

    Where the population is matched, validation weighs as the start sees it, once and for all:
    errors of different epochs must compare.
    """
    parts = read_training(sets, "validation", target, job.method)
    found: callbacks.LabelledParts = {}
    for domain, part in parts.items():
        if domain == "survey" and not job.method.survey_labels:
            continue
        expected = target.transform(part.labels)
        weights = target.weights(expected)
        if domain == "simulated" and job.method.match_population:
            survey = predict(network, training["survey"].images)
            weights = weights * matching_weights(predict(network, part.images), survey)
        found[domain] = (part.images, expected, weights)
    return found


def _common_side(sets: dict[str, StampSet]) -> int:
    first, *others = sets.values()
    for other in others:
        if other.side != first.side:
            raise DataError(
                f"{other.paths[0]}: stamps of {other.side} px beside {first.paths[0]} with "
                f"{first.side} px; give both the same variant"
            )
    return first.side


def _fit(
    job: Job,
    network: keras.Model,
    target: Answer,
    batches: Batches,
    validation: callbacks.LabelledParts,
    checkpoint: Checkpoint,
    extra: Sequence[keras.callbacks.Callback],
) -> Progress:
    """Train, from the checkpoint if there is one, and leave the network at its best weights."""
    method = job.method
    model, joined = compiled(network, target, method, batches, job.compute.keeps_stamps_on_device)
    progress = checkpoint.load(model)
    if progress.epoch:
        log.info(f"{job.label} continues after epoch {progress.epoch}")
    chain: list[keras.callbacks.Callback] = [
        callbacks.DrawBatches(batches),
        callbacks.Validate(network, target, validation),
        callbacks.StopIfDiverged(job),
        callbacks.Record(job, progress, joined),
        callbacks.KeepBest(network, progress, method.patience),
        callbacks.Save(checkpoint, progress),
        *extra,
    ]
    aligned = method.alignment is not None and method.alignment.match_labels
    if aligned or method.match_population:
        chain.insert(0, callbacks.MatchLabels(network, batches, method))
    # A training may have been interrupted between its last epoch and its run folder.
    if not progress.exhausted(method.patience):
        model.fit(
            batches,
            epochs=method.epochs,
            initial_epoch=progress.epoch,
            shuffle=False,
            verbose=0,
            callbacks=chain,
        )
    network.set_weights(progress.best_weights)
    # One by one: a loaded Keras model does not pass the switch on to its layers, and what was
    # frozen here would stay frozen in every training that starts from the saved file.
    for layer in network.layers:
        layer.trainable = True
    return progress
