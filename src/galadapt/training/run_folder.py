"""The run folder: what a finished training leaves."""

from __future__ import annotations

import datetime

import keras
import numpy as np
import pandas as pd

from galadapt.files import atomic, write_csv, write_json, write_parquet
from galadapt.models import networks
from galadapt.models.targets import TargetScaler
from galadapt.provenance import environment, file_digest
from galadapt.stamps import StampSet
from galadapt.training.checkpoint import Progress
from galadapt.training.data import DOMAINS, read_examples
from galadapt.training.inference import predict
from galadapt.training.job import Job

#: Rows per domain of embeddings.parquet.
EMBEDDED = 1000


def write(
    job: Job,
    sets: dict[str, StampSet],
    regressor: keras.Model,
    scaler: TargetScaler,
    progress: Progress,
    identity: str,
    started: datetime.datetime,
) -> None:
    """Test the regressor on both domains and write every file, run.json last.

    Args:
        job: What was trained.
        sets: The open stamp sets of both domains.
        regressor: With the weights of the best epoch.
        scaler: Of its targets.
        progress: With its history.
        identity: Of the training.
        started: When it (or its last part) began.
    """
    predicted = _predictions(job, sets, regressor, scaler)
    features = _embeddings(job, sets, regressor)
    metadata = sets["simulated"].metadata
    with atomic(job.output / "model.keras") as temporary:
        regressor.save(temporary)
    write_csv(job.output / "history.csv", pd.DataFrame(progress.history))
    write_parquet(job.output / "predictions.parquet", predicted)
    write_parquet(job.output / "embeddings.parquet", features)
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


def _predictions(
    job: Job, sets: dict[str, StampSet], regressor: keras.Model, scaler: TargetScaler
) -> pd.DataFrame:
    tables = []
    for domain in DOMAINS:
        for split in ("test", "validation"):
            part = read_examples(
                sets[domain], split, job.parameters, max_magnitude=job.method.max_magnitude
            )
            predicted = scaler.inverse(predict(regressor, part.images))
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
            at_most=EMBEDDED,
        )
        features = predict(extractor, part.images).astype(np.float32)
        table = pd.DataFrame(features, columns=[f"f{k:03d}" for k in range(features.shape[1])])
        about = pd.DataFrame({"id": part.ids, "domain": domain, "split": "test"})
        tables.append(pd.concat([about, table], axis=1))
    return pd.concat(tables, ignore_index=True)
