"""One trainer for every method: batches of one or both domains, labels where they may be seen."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from galadapt.config import Adversarial, Compute, Method
from galadapt.errors import DataError, RunError
from galadapt.files import atomic, read_json, write_csv, write_json, write_parquet
from galadapt.models import networks
from galadapt.models.layers import GradientReversal
from galadapt.models.targets import TargetScaler
from galadapt.progress import say
from galadapt.provenance import digest, environment, file_digest
from galadapt.stamps import StampSet
from galadapt.training.checkpoint import Checkpoint, Progress
from galadapt.training.data import (
    DOMAINS,
    Examples,
    epoch_order,
    epoch_orientations,
    read_examples,
    read_training,
    turn,
)
from galadapt.training.matching import matching_weights

#: Stamps per forward pass outside training.
_CHUNK = 256

#: Rows per domain of embeddings.parquet.
_EMBEDDED = 1000


@dataclass(frozen=True)
class Job:
    """The arguments of `galadapt.training.train.train`."""

    task: str
    variant: str
    method_name: str
    method: Method
    parameters: tuple[str, ...]
    seed: int
    simulated: Path
    survey: Path
    output: Path
    checkpoint: Path
    start_model: Path | None
    compute: Compute
    provenance: dict[str, Any]

    @property
    def label(self) -> str:
        """Name of the run in progress lines and errors."""
        return f"{self.method_name}/{self.variant}/seed{self.seed}"


AfterEpoch = Callable[[int], None]


def run(job: Job, after_epoch: AfterEpoch | None = None) -> None:
    """Train and write the run folder; see `galadapt.training.train.train`.

    Args:
        job: What to train.
        after_epoch: Called with the number of finished epochs after each state was saved.
    """
    started = datetime.datetime.now(datetime.UTC)
    keras.utils.clear_session()
    keras.utils.set_random_seed(job.seed)
    sets = {"simulated": StampSet(job.simulated), "survey": StampSet(job.survey)}
    try:
        _check_sets(sets)
        regressor, scaler, progress, identity = _train(job, sets, after_epoch)
        predictions = _predictions(job, sets, regressor, scaler)
        embeddings = _embeddings(job, sets, regressor)
        metadata = sets["simulated"].metadata
    finally:
        for stamps in sets.values():
            stamps.close()
    with atomic(job.output / "model.keras") as temporary:
        regressor.save(temporary)
    write_csv(job.output / "history.csv", pd.DataFrame(progress.history))
    write_parquet(job.output / "predictions.parquet", predictions)
    write_parquet(job.output / "embeddings.parquet", embeddings)
    finished = datetime.datetime.now(datetime.UTC)
    write_json(
        job.output / "environment.json",
        {
            **environment(["galadapt", "keras", "numpy", job.compute.backend]),
            "backend": job.compute.backend,
            "threads": job.compute.threads_per_training,
            "started": started.isoformat(timespec="seconds"),
            "ended": finished.isoformat(timespec="seconds"),
            "seconds": (finished - started).total_seconds(),
        },
    )
    write_json(
        job.output / "run.json",
        {
            "task": job.task,
            "variant": job.variant,
            "method": job.method_name,
            "seed": job.seed,
            "parameters": job.parameters,
            "settings": job.method.model_dump(mode="json"),
            "identity": identity,
            "provenance": job.provenance,
            "datasets": {
                "simulated": file_digest(job.simulated),
                "survey": file_digest(job.survey),
            },
            "variant_steps": metadata.get("variant_steps", []),
            "stamps": {
                key: value for key, value in metadata.items() if not key.endswith("provenance")
            },
            "target_scaling": scaler.to_dict(),
            "parameter_count": regressor.count_params(),
            "best_epoch": progress.best_epoch,
            "best_monitored": progress.best,
            "epochs_run": progress.epoch,
        },
    )
    Checkpoint(job.checkpoint, identity).remove()


def _check_sets(sets: dict[str, StampSet]) -> None:
    simulated, survey = sets["simulated"], sets["survey"]
    if simulated.side != survey.side:
        raise DataError(
            f"{survey.paths[0]}: stamps of {survey.side} px beside {simulated.paths[0]} with "
            f"{simulated.side} px; give both the same variant"
        )


def _identity(job: Job, start: str | None) -> str:
    """Digest everything that decides the weights, so that no other training's state is resumed."""
    return digest(
        {
            "task": job.task,
            "variant": job.variant,
            "method": job.method.model_dump(mode="json", exclude={"description"}),
            "parameters": job.parameters,
            "seed": job.seed,
            "simulated": file_digest(job.simulated),
            "survey": file_digest(job.survey),
            "start": start,
            "backend": job.compute.backend,
            "provenance": job.provenance,
        }
    )


# --- the start -------------------------------------------------------------------------------


def _load_start(job: Job, side: int) -> tuple[keras.Model, TargetScaler]:
    """Load a trained regressor with the scaling of the targets it was trained on."""
    path = job.start_model
    if path is None:
        raise DataError(
            f"{job.label}: starts from '{job.method.starts_from}' but was given no start model; "
            "train that method first"
        )
    record = read_json(path.parent / "run.json")
    try:
        regressor = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: not a readable Keras model ({line}); delete its run folder and train again"
        ) from None
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
    return regressor, scaler


def _new_regressor(
    job: Job, side: int, training: dict[str, Examples]
) -> tuple[keras.Model, TargetScaler]:
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
    scaler = TargetScaler.fit(job.parameters, training[domain].labels)
    regressor = networks.build(
        job.method.network, side, len(job.parameters), float(mean), float(np.sqrt(variance))
    )
    return regressor, scaler


# --- the loop --------------------------------------------------------------------------------


def _train(
    job: Job, sets: dict[str, StampSet], after_epoch: AfterEpoch | None
) -> tuple[keras.Model, TargetScaler, Progress, str]:
    method = job.method
    training = read_training(sets, "train", job.parameters, method)
    validation = {
        domain: examples
        for domain, examples in read_training(sets, "validation", job.parameters, method).items()
        if domain == "simulated" or method.survey_labels
    }
    side = sets["simulated"].side
    if method.starts_from is None:
        regressor, scaler = _new_regressor(job, side, training)
        start = None
    else:
        regressor, scaler = _load_start(job, side)
        start = read_json(job.start_model.parent / "run.json")["identity"]  # type: ignore[union-attr]
    model = _compile(regressor, method)
    batches = _Batches(training, scaler, method, job.seed)
    expected = {domain: scaler.transform(part.labels) for domain, part in validation.items()}

    identity = _identity(job, start)
    checkpoint = Checkpoint(job.checkpoint, identity)
    progress = checkpoint.load(model)
    if progress.epoch:
        say(f"{job.label} continues after epoch {progress.epoch}")
    for epoch in range(progress.epoch, method.epochs):
        if progress.epoch - progress.best_epoch >= method.patience:
            break
        clock = time.monotonic()
        if method.alignment is not None and method.alignment.match_labels:
            batches.match_labels(regressor)
        row = _one_epoch(model, batches, method, epoch)
        errors = {
            domain: _error(method.loss, _forward(regressor, part.images), expected[domain])
            for domain, part in validation.items()
        }
        monitored = float(np.mean(list(errors.values())))
        row |= {f"val_{domain}": error for domain, error in errors.items()}
        row |= {"val_monitored": monitored, "seconds": time.monotonic() - clock}
        if not (math.isfinite(row["loss"]) and math.isfinite(monitored)):
            raise RunError(
                f"{job.label}: training diverged in epoch {epoch + 1} (loss {row['loss']}); lower "
                f"method_settings.{job.method_name}.learning_rate"
            )
        progress.history.append(row)
        if monitored < progress.best:
            progress.best, progress.best_epoch = monitored, progress.epoch
            progress.best_weights = regressor.get_weights()
        say(
            f"{job.label} epoch {epoch + 1}/{method.epochs} loss {row['loss']:.4f} "
            f"val {monitored:.4f} ({row['seconds']:.1f} s)"
        )
        checkpoint.save(model, progress)
        if after_epoch is not None:
            after_epoch(progress.epoch)
    regressor.set_weights(progress.best_weights)
    regressor.trainable = True
    return regressor, scaler, progress, identity


def _compile(regressor: keras.Model, method: Method) -> keras.Model:
    """Return the compiled model to train: the regressor, or with a domain head beside it.

    Losses are averaged over the examples that carry a label, so that hidden labels do not weaken
    the regression term; only R1's fixed vector divides by the whole batch, as printed.
    """
    alignment = method.alignment
    printed = alignment is not None and alignment.masking == "fixed_vector"
    reduction = "sum_over_batch_size" if printed else "mean_with_sample_weight"
    kinds = {"mae": keras.losses.MeanAbsoluteError, "mse": keras.losses.MeanSquaredError}
    regression = kinds[method.loss](reduction=reduction)
    optimizer = keras.optimizers.Adam(method.learning_rate)
    if alignment is None:
        regressor.compile(optimizer, loss=regression)
        optimizer.build(regressor.trainable_variables)
        return regressor
    model = networks.add_domain_head(regressor, alignment)
    model.compile(
        optimizer,
        loss={
            networks.REGRESSION: regression,
            networks.DOMAIN: keras.losses.SparseCategoricalCrossentropy(),
        },
        loss_weights={
            networks.REGRESSION: 1 - alignment.weight,
            networks.DOMAIN: alignment.weight,
        },
    )
    # Its moments must exist before a checkpoint can restore them.
    optimizer.build(model.trainable_variables)
    return model


class _Batches:
    """The training stamps of all domains, numbered consecutively, and their batches per epoch."""

    def __init__(
        self, training: dict[str, Examples], scaler: TargetScaler, method: Method, seed: int
    ) -> None:
        parts = list(training.values())
        self.images = np.concatenate([part.images for part in parts])
        scaled = scaler.transform(np.concatenate([part.labels for part in parts]))
        labelled = np.isfinite(scaled).all(axis=1)
        # A weight of zero hides a number, but zero times NaN is NaN.
        self.targets = np.where(labelled[:, None], scaled, 0).astype(np.float32)
        self.weights = labelled.astype(np.float32)
        self.domains = np.concatenate(
            [np.full(len(part), DOMAINS.index(name)) for name, part in training.items()]
        )
        self.domain_weights = np.ones(len(self.images), np.float32)
        self.counts = [len(part) for part in parts]
        self.method = method
        self.seed = seed
        self.steps = len(self.rows(0))

    def match_labels(self, regressor: keras.Model) -> None:
        """Weigh the simulated stamps to the survey's population, as the regressor sees both now."""
        predicted = _forward(regressor, self.images)
        simulated = self.domains == DOMAINS.index("simulated")
        self.domain_weights[simulated] = matching_weights(
            predicted[simulated], predicted[~simulated]
        )

    def rows(self, epoch: int) -> np.ndarray:
        """Rows (steps, batch) of one epoch."""
        method = self.method
        return epoch_order(self.counts, method.batch_size, method.balance_domains, self.seed, epoch)

    def of_epoch(self, epoch: int) -> Any:
        """Yield the arguments of ``train_on_batch``."""
        alignment = self.method.alignment
        orientations = epoch_orientations(len(self.images), self.seed, epoch)
        for rows in self.rows(epoch):
            images = self.images[rows]
            if self.method.augment:
                images = turn(images, orientations[rows])
            if alignment is None:
                yield images, self.targets[rows], self.weights[rows]
                continue
            weights = self.weights[rows]
            if alignment.masking == "fixed_vector" and not self.method.survey_labels:
                # As printed: the first places of EVERY batch are masked, whoever stands there.
                hidden = round(len(rows) * float(np.mean(self.domains == 1)))
                weights = weights * (np.arange(len(rows)) >= hidden)
            yield (
                images,
                {networks.REGRESSION: self.targets[rows], networks.DOMAIN: self.domains[rows]},
                {
                    networks.REGRESSION: weights.astype(np.float32),
                    networks.DOMAIN: self.domain_weights[rows],
                },
            )


def adversarial_strength(alignment: Adversarial, progress: float) -> float:
    """Lambda after a fraction `progress` of all planned steps (Ganin & Lempitsky 2015, sec. 5)."""
    if alignment.schedule == "constant":
        return alignment.lambda_max
    return alignment.lambda_max * (2 / (1 + math.exp(-alignment.gamma * progress)) - 1)


def learning_rate(method: Method, progress: float) -> float:
    """Adam's learning rate after a fraction `progress` of all planned steps."""
    if method.learning_rate_schedule == "constant":
        return method.learning_rate
    return method.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _one_epoch(
    model: keras.Model, batches: _Batches, method: Method, epoch: int
) -> dict[str, float]:
    """Train on every batch of an epoch and return its row of the history."""
    reversal = None
    if method.alignment is not None:
        layer = model.get_layer(networks.REVERSAL)
        reversal = layer if isinstance(layer, GradientReversal) else None
    model.reset_metrics()
    logs: dict[str, float] = {}
    rate = strength = math.nan
    for step, (images, targets, weights) in enumerate(batches.of_epoch(epoch)):
        done = (epoch * batches.steps + step) / (method.epochs * batches.steps)
        rate = learning_rate(method, done)
        model.optimizer.learning_rate.assign(rate)
        if reversal is not None and method.alignment is not None:
            strength = adversarial_strength(method.alignment, done)
            reversal.strength.assign(strength)
        logs = model.train_on_batch(images, targets, weights, return_dict=True)
    row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
    row["learning_rate"] = rate
    if reversal is not None:
        row["reversal_strength"] = strength
    return row


def _forward(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Evaluate in chunks of one size, so that the backend compiles one shape; (n, outputs)."""
    outputs = []
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        missing = _CHUNK - len(chunk)
        padded = np.pad(chunk, ((0, missing), (0, 0), (0, 0), (0, 0)))
        outputs.append(np.asarray(model.predict_on_batch(padded))[: len(chunk)])
    return np.concatenate(outputs) if outputs else np.empty((0, model.output_shape[1]), np.float32)


def _error(loss: str, predicted: np.ndarray, expected: np.ndarray) -> float:
    """Mean error of standardised parameters over the labelled stamps; NaN if a prediction is."""
    labelled = np.isfinite(expected).all(axis=1)
    difference = predicted[labelled] - expected[labelled]
    each = np.abs(difference) if loss == "mae" else difference**2
    return float(np.mean(each))


# --- the run folder --------------------------------------------------------------------------


def _predictions(
    job: Job, sets: dict[str, StampSet], regressor: keras.Model, scaler: TargetScaler
) -> pd.DataFrame:
    tables = []
    for domain in DOMAINS:
        for split in ("test", "validation"):
            part = read_examples(
                sets[domain], split, job.parameters, max_magnitude=job.method.max_magnitude
            )
            predicted = scaler.inverse(_forward(regressor, part.images))
            table = pd.DataFrame({"id": part.ids, "domain": domain, "split": split})
            for column, name in enumerate(job.parameters):
                table[f"{name}_true"] = part.labels[:, column]
                table[f"{name}_predicted"] = predicted[:, column]
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _embeddings(job: Job, sets: dict[str, StampSet], regressor: keras.Model) -> pd.DataFrame:
    extractor = networks.feature_extractor(regressor)
    tables = []
    for domain in DOMAINS:
        part = read_examples(
            sets[domain],
            "test",
            job.parameters,
            max_magnitude=job.method.max_magnitude,
            at_most=_EMBEDDED,
        )
        features = _forward(extractor, part.images).astype(np.float32)
        table = pd.DataFrame(features, columns=[f"f{k:03d}" for k in range(features.shape[1])])
        about = pd.DataFrame({"id": part.ids, "domain": domain, "split": "test"})
        tables.append(pd.concat([about, table], axis=1))
    return pd.concat(tables, ignore_index=True)
