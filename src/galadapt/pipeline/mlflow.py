"""Mirror finished run folders in MLflow: one run per (task, variant, method, seed), and a summary.

The run folder is the truth and MLflow a view of it: this module may be run again at any time, and
the store may be deleted at any time.

- A run is known by its tags ``galadapt.run`` (task/variant/method/seed) and
  ``galadapt.fingerprint``, a digest of what the folder holds. Same fingerprint: nothing is
  written. Another one: the old run is deleted with its artifacts and the new one logged.
- A run that was being written when the process died is still RUNNING: it is replaced.
- A run of the experiment whose folder is not given any more is deleted, so that the runs table
  always is the present experiment. Deleted runs stay in the store's bin until ``mlflow gc``.
- One more run, the summary, holds the tables and figures of the whole experiment as artifacts.
- One lock beside the store keeps two processes from writing at once.

Experiments are called ``<experiment>/<preset>/<task>``: runs on other data, or of another task, are
no fair comparison. Names are chosen for how MLflow sorts and cuts them: a run is
``method/variant/seed``, the R2 sort before all other metrics, settings after what names a run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import pandas as pd

from galadapt.core.errors import DataError, RunError
from galadapt.core.files import canonical_json, read_json, read_table, write_csv
from galadapt.core.log import log
from galadapt.core.provenance import digest, file_digest
from galadapt.evaluation.headline import classifies, counts, headings, headline, logged

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "galadapt.run"
FINGERPRINT_TAG = "galadapt.fingerprint"

#: What of a run folder is copied as artifacts, beside its figures and its metrics in detail.
FILES = (
    "run.json",
    "environment.json",
    "metrics.json",
    "history.csv",
    "predictions.parquet",
    "predictions.json",
)

#: Metrics in bins or classes, of which a folder holds one.
DETAILS = ("metrics_by_magnitude.csv", "metrics_by_class.csv")

#: Files that differ between two equal trainings (times), so that a fingerprint leaves them out.
_TIMED = "environment.json"

_BATCH = 900
_PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")


@dataclass(frozen=True)
class Folder:
    """A finished run folder, read."""

    path: Path
    run: dict[str, Any]
    metrics: dict[str, Any]
    environment: dict[str, Any]
    history: pd.DataFrame
    figures: tuple[Path, ...]
    about: str
    fingerprint: str

    @property
    def key(self) -> str:
        """What tells this run from every other: task/variant/method/seed."""
        return "{task}/{variant}/{method}/seed{seed}".format(**self.run)

    @property
    def name(self) -> str:
        """What the runs table shows; its column is narrow, so the method comes first."""
        return "{method}/{variant}/seed{seed}".format(**self.run)

    def time(self, field: str) -> int:
        """Return `started` or `ended` in milliseconds since 1970."""
        try:
            moment = datetime.fromisoformat(self.environment[field])
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{self.path / _TIMED}: '{field}' is not an ISO 8601 time; rerun the training"
            ) from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@dataclass(frozen=True)
class Summary:
    """What belongs to no single run: tables and figures of the whole experiment."""

    task: str
    files: Mapping[str, Path]
    fingerprint: str

    @classmethod
    def of(cls, task: str, files: Sequence[Path], version: str) -> Summary:
        """Name files as they lie below the folder that holds them all.

        Raises:
            DataError: a file is missing.
        """
        for path in files:
            if not path.is_file():
                raise DataError(f"{path}: no such file; rerun the stage that writes it")
        top = os.path.commonpath([path.parent for path in files]) if files else ""
        named = {path.relative_to(top).as_posix(): path for path in files}
        parts = {name: file_digest(path) for name, path in sorted(named.items())}
        return cls(task, named, digest({"files": parts, "version": version}))

    @property
    def key(self) -> str:
        """What tells it from every run."""
        return f"{self.task}/summary"


def track(
    runs: Sequence[Path],
    uri: str,
    experiment: str,
    manifest: Path,
    configuration: Mapping[str, Any],
    version: str = "",
    summary: Sequence[Path] = (),
) -> None:
    """Make the store show exactly these runs.

    Args:
        runs: Run folders, evaluated (with metrics.json); figures/ below them are optional.
        uri: Tracking store, ``sqlite:///path`` (relative to the working directory) or a server's
            address. Artifacts of an SQLite store go to ``mlartifacts`` beside it.
        experiment: Prefix of the experiment's name.
        manifest: CSV to write: task, variant, method, seed, fingerprint of every run.
        configuration: The whole configuration; `preset` is part of the experiment's name, and all
            of it is shown on the experiment's page.
        version: Digest of this code: another one logs every run anew.
        summary: Tables and figures of the whole experiment.

    Raises:
        DataError: a run folder is unfinished or broken; the store is left as it was.
        RunError: the store cannot be reached or written.
    """
    methods = configuration.get("method_settings", {})
    folders = [read_folder(Path(path), methods, version) for path in runs]
    _refuse_duplicates(folders)
    name = f"{experiment}/{configuration.get('preset', 'default')}"
    tasks = dict.fromkeys(str(folder.run["task"]) for folder in folders)
    summaries = {task: Summary.of(task, [Path(p) for p in summary], version) for task in tasks}
    database = _database(uri)
    lock = (database or manifest).with_suffix(".lock")
    with _quiet_mlflow() as (client_class, failures), _locked(lock):
        try:
            client = client_class(f"sqlite:///{database}" if database else uri)
            root = database.parent / "mlartifacts" if database else None
            for task in tasks:
                mirrored: list[Folder | Summary] = [f for f in folders if f.run["task"] == task]
                mirrored += [summaries[task]] if summary else []
                _synchronise(client, f"{name}/{task}", root, mirrored, configuration)
        except failures as error:
            line = " ".join(str(error).split())
            raise RunError(
                f"{uri}: MLflow store cannot be used ({line[:300]}); check tracking.uri, or "
                "delete the store and track again"
            ) from None
    write_csv(
        manifest,
        pd.DataFrame(
            [
                {
                    **{key: f.run[key] for key in ("task", "variant", "method", "seed")},
                    "fingerprint": f.fingerprint,
                }
                for f in folders
            ],
            columns=["task", "variant", "method", "seed", "fingerprint"],
        ),
    )


# --- reading run folders ----------------------------------------------------------------------


def read_folder(path: Path, methods: Mapping[str, Any], version: str) -> Folder:
    """Read one run folder; `methods` hold the methods' descriptions.

    Raises:
        DataError: a file is missing, or the run is not identified.
    """
    for name in (*FILES, "model.keras", _detail(path)):
        if not (path / name).is_file():
            raise DataError(f"{path}: unfinished run, lacks {name}; rerun training and evaluation")
    run = read_json(path / "run.json")
    missing = [key for key in ("task", "variant", "method", "seed") if key not in run]
    if missing:
        raise DataError(f"{path / 'run.json'}: lacks {', '.join(missing)}; rerun the training")
    metrics = read_json(path / "metrics.json")
    if "domains" not in metrics:
        raise DataError(f"{path / 'metrics.json'}: lacks domains; rerun the evaluation")
    figures = tuple(sorted(p for p in (path / "figures").rglob("*") if p.is_file()))
    about = methods.get(run["method"], {}).get("description") or "no description"
    folder = Folder(
        path,
        run,
        metrics,
        read_json(path / _TIMED),
        read_table(path / "history.csv"),
        figures,
        about,
        fingerprint(path, figures, [about, version]),
    )
    # What would stop the logging half-way is found here, before the store is touched.
    folder.time("started"), folder.time("ended"), input_shape(path / "model.keras")
    return folder


def _detail(path: Path) -> str:
    """Name the file of a run folder that holds its metrics in detail."""
    return next((name for name in DETAILS if (path / name).is_file()), DETAILS[0])


def fingerprint(path: Path, figures: Iterable[Path], words: Sequence[str]) -> str:
    """Digest what a run folder says, and the `words` logged with it, in 16 hex digits.

    Left out are the times (environment.json, the history's `seconds`) and the model's own bytes,
    which hold its saving date: two models that differ also differ in their predictions.
    """
    parts: dict[str, Any] = {"words": list(words)}
    for name in (*FILES, _detail(path)):
        if name == "history.csv":
            table = read_table(path / name)
            content = table.drop(columns="seconds", errors="ignore").to_csv(index=False).encode()
        elif name == _TIMED:
            continue
        else:
            content = (path / name).read_bytes()
        parts[name] = hashlib.sha256(content).hexdigest()
    for figure in figures:
        name = figure.relative_to(path).as_posix()
        parts[name] = hashlib.sha256(figure.read_bytes()).hexdigest()
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]


def _refuse_duplicates(folders: Sequence[Folder]) -> None:
    seen: dict[str, Path] = {}
    for folder in folders:
        if folder.key in seen:
            raise DataError(
                f"{folder.path}: is the same run ({folder.key}) as {seen[folder.key]}; name each "
                "run once"
            )
        seen[folder.key] = folder.path


# --- the store --------------------------------------------------------------------------------


def _database(uri: str) -> Path | None:
    """Return the absolute path of an SQLite store, None for other stores."""
    parsed = urlparse(uri)
    if parsed.scheme != "sqlite":
        return None
    return Path(unquote(parsed.path.removeprefix("/"))).resolve()


@contextlib.contextmanager
def _quiet_mlflow() -> Iterator[tuple[Any, tuple[type[BaseException], ...]]]:
    """Import MLflow so that it neither calls home nor narrates its database migrations."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    loud = [logging.getLogger(name) for name in ("alembic", "mlflow")]
    levels = [logger.level for logger in loud]
    for logger in loud:
        logger.setLevel(logging.WARNING)
    try:
        yield MlflowClient, (MlflowException, SQLAlchemyError, OSError)
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info(f"{path}: another process is writing the MLflow store; waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _synchronise(
    client: MlflowClient,
    name: str,
    root: Path | None,
    folders: Sequence[Folder | Summary],
    configuration: Mapping[str, Any],
) -> None:
    experiment = _experiment(client, name, root)
    _describe_experiment(client, experiment, configuration)
    wanted = {folder.key: folder for folder in folders}
    kept: set[str] = set()
    removed = 0
    for run in _all_runs(client, experiment):
        if RUN_TAG not in run.data.tags:
            continue  # somebody logged it by hand: not ours to touch
        folder = wanted.get(run.data.tags.get(RUN_TAG, ""))
        current = (
            folder is not None
            and folder.key not in kept
            and run.info.status == "FINISHED"
            and run.data.tags.get(FINGERPRINT_TAG) == folder.fingerprint
            and (root is None or _folder_of(run).is_dir())
        )
        if current and folder is not None:
            kept.add(folder.key)
        else:
            _remove(client, run, root)
            removed += 1
    for folder in folders:
        if folder.key not in kept:
            if isinstance(folder, Summary):
                _log_summary(client, experiment, folder)
            else:
                _log(client, experiment, folder)
    log.info(
        f"MLflow experiment {name}: {len(folders) - len(kept)} runs logged, {len(kept)} unchanged, "
        f"{removed} removed"
    )


def _experiment(client: MlflowClient, name: str, root: Path | None) -> str:
    """Find or make the experiment; one whose artifacts lie elsewhere is set aside.

    MLflow stores absolute artifact paths. In a copy of the project they would still point into
    the original, and new artifacts would be written there.
    """
    found = client.get_experiment_by_name(name)
    location = (root / name).as_uri() if root else None
    if found is not None:
        moved = location is not None and found.artifact_location != location
        if not moved and found.lifecycle_stage == "active":
            return str(found.experiment_id)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        if not moved:
            return str(found.experiment_id)
        client.rename_experiment(found.experiment_id, f"{name} (moved {found.experiment_id})")
        client.delete_experiment(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=location))


def _describe_experiment(
    client: MlflowClient, experiment: str, configuration: Mapping[str, Any]
) -> None:
    text = json.dumps(configuration, indent=1, sort_keys=True, default=str)
    tags = {
        "mlflow.experimentKind": "custom_model_development",
        "galadapt.preset": str(configuration.get("preset", "default")),
        # A tag holds at most 5000 characters.
        "mlflow.note.content": f"Preset {configuration.get('preset')}.\n```\n{text[:4800]}\n```",
    }
    for key, value in tags.items():
        client.set_experiment_tag(experiment, key, value)


def _all_runs(client: MlflowClient, experiment: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment], max_results=500, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _folder_of(run: Any) -> Path:
    return Path(unquote(urlparse(run.info.artifact_uri).path))


def _remove(client: MlflowClient, run: Any, root: Path | None) -> None:
    """Delete a run, its model and, in a local store, their artifacts."""
    models = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    places = [_folder_of(run)]
    for model in models:
        places.append(Path(unquote(urlparse(model.artifact_location).path)))
        client.delete_logged_model(model.model_id)
    client.delete_run(run.info.run_id)
    for place in places:
        if root is not None and place.is_relative_to(root):
            # The run's folder is the parent of its artifacts; nothing else lies in it.
            shutil.rmtree(place.parent, ignore_errors=True)


# --- one run ----------------------------------------------------------------------------------


def _log(client: MlflowClient, experiment: str, folder: Folder) -> None:
    started, ended = folder.time("started"), folder.time("ended")
    run_id = client.create_run(
        experiment,
        start_time=started,
        run_name=folder.name,
        tags={
            RUN_TAG: folder.key,
            "task": str(folder.run["task"]),
            "variant": str(folder.run["variant"]),
            "method": str(folder.run["method"]),
            "seed": str(folder.run["seed"]),
            "mlflow.source.name": "galadapt",
            "mlflow.note.content": description(folder),
        },
    ).info.run_id
    _log_values(client, run_id, folder, started, ended)
    _log_datasets(client, run_id, folder)
    for name in (*FILES, _detail(folder.path)):
        client.log_artifact(run_id, str(folder.path / name))
    for figure in folder.figures:
        place = figure.relative_to(folder.path).parent.as_posix()
        client.log_artifact(run_id, str(figure), place)
    _log_model(client, experiment, run_id, folder)
    # Last of all: only a run that has all of its parts gets its fingerprint and its end.
    client.set_tag(run_id, FINGERPRINT_TAG, folder.fingerprint)
    client.set_terminated(run_id, "FINISHED", end_time=ended)


def _log_summary(client: MlflowClient, experiment: str, summary: Summary) -> None:
    run_id = client.create_run(
        experiment,
        run_name="summary",
        tags={
            RUN_TAG: summary.key,
            "task": summary.task,
            "mlflow.source.name": "galadapt",
            "mlflow.note.content": "Tables and figures of the whole experiment: see the artifacts.",
        },
    ).info.run_id
    for name, path in summary.files.items():
        place = Path(name).parent.as_posix()
        client.log_artifact(run_id, str(path), None if place == "." else place)
    client.set_tag(run_id, FINGERPRINT_TAG, summary.fingerprint)
    client.set_terminated(run_id, "FINISHED")


def parameters(folder: Folder) -> dict[str, str]:
    """Flatten what was set for a run: identity, method settings, variant, network size."""
    values: dict[str, Any] = {
        key: folder.run[key] for key in ("task", "variant", "method", "seed") if key in folder.run
    }
    values |= _flat(folder.run.get("settings") or {}, "settings.")
    values.pop("settings.description", None)
    for key in ("variant_steps", "parameter_count", "best_epoch", "epochs_run"):
        if key in folder.run:
            values[key] = folder.run[key]
    text = {
        key: value if isinstance(value, str) else canonical_json(value)
        for key, value in values.items()
        if value is not None
    }
    return {key: value[:5900] for key, value in text.items() if value}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def final_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the final metrics that have a value, under the names of `headline.logged`."""
    return {key: float(value) for key, value in logged(metrics).items() if value is not None}


def description(folder: Folder) -> str:
    """Describe a run in Markdown: what the method is and its headline numbers."""
    names = headings(folder.metrics)
    lines = [f"**{folder.run['method']}**: {folder.about}", ""]
    lines += [f"| test set | {' | '.join(names)} | n |", "|---" * (len(names) + 2) + "|"]
    for domain, splits in sorted(folder.metrics["domains"].items()):
        test = splits.get("test")
        if test:
            values = headline(folder.metrics, test)
            cells = ["n/a" if value is None else f"{value:.3f}" for value in values]
            count, _ = counts(folder.metrics, test)
            lines.append(f"| {domain} | {' | '.join(cells)} | {count} |")
    return "\n".join(lines)


def _log_values(
    client: MlflowClient, run_id: str, folder: Folder, started: int, ended: int
) -> None:
    from mlflow.entities import Metric, Param

    metrics = [Metric(key, value, ended, 0) for key, value in final_metrics(folder.metrics).items()]
    history = folder.history
    seconds = history["seconds"].cumsum() if "seconds" in history else pd.Series(0, history.index)
    for name in history.columns:
        if name in ("epoch", "seconds"):
            continue
        for epoch, value, after in zip(history["epoch"], history[name], seconds, strict=True):
            if pd.notna(value):
                moment = started + int(1000 * after)
                metrics.append(Metric(f"training/{name}", float(value), moment, int(epoch)))
    params = [Param(key, value) for key, value in parameters(folder).items()]
    client.log_batch(run_id, params=params[:100])
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def _log_datasets(client: MlflowClient, run_id: str, folder: Folder) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    uses: dict[tuple[str, str], list[str]] = {}
    records = {"training": folder.run, "testing": read_json(folder.path / "predictions.json")}
    for use, record in records.items():
        for name, content in (record.get("datasets") or {}).items():
            # MLflow shows and stores at most 36 characters of a digest.
            uses.setdefault((str(name), str(content)[:36]), []).append(use)
    inputs = [
        DatasetInput(
            Dataset(name, digest, "local", json.dumps({"uri": name})),
            # A run holds a data set once, so one tag names all its uses.
            [InputTag("mlflow.data.context", ", ".join(of_set))],
        )
        for (name, digest), of_set in sorted(uses.items())
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def input_shape(model: Path) -> list[int | None] | None:
    """Read the shape of a .keras file's image input, batch first, without importing Keras."""
    try:
        with zipfile.ZipFile(model) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        shapes = [
            layer["config"].get("batch_shape") or layer["config"].get("batch_input_shape")
            for layer in layers
            if layer["class_name"] == "InputLayer"
        ]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"{model}: not a Keras model file ({error}); rerun the training") from None
    return max(shapes, key=len, default=None)


def _log_model(client: MlflowClient, experiment: str, run_id: str, folder: Folder) -> None:
    """Log the model as MLflow's Keras flavor, by its file format and without loading it.

    ``mlflow.keras.log_model`` would import TensorFlow, load and save every model again, and infer
    requirements by importing it once more: about 11 s per model.
    """
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(
        experiment,
        name="network",
        source_run_id=run_id,
        params={"parameter_count": str(folder.run.get("parameter_count", ""))},
        model_type="classifier" if classifies(folder.metrics) else "regressor",
    )
    with tempfile.TemporaryDirectory() as temporary:
        _write_model(Path(temporary), run_id, logged.model_id, folder)
        client.log_model_artifacts(logged.model_id, temporary)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])


def _write_model(place: Path, run_id: str, model_id: str, folder: Folder) -> None:
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    source = folder.path / "model.keras"
    versions = {**folder.environment, **(folder.environment.get("versions") or {})}
    (place / "data").mkdir()
    shutil.copyfile(source, place / "data" / "model.keras")
    (place / "data" / "keras_module.txt").write_text("keras")
    requirements = [f"{name}=={versions[name]}" for name in _PACKAGES if name in versions]
    (place / "requirements.txt").write_text("\n".join([*requirements, ""]))
    # What the network says, and of which pixels: whoever loads it must know.
    known = ("answer", "variant_steps", "stamps")
    metadata = {key: folder.run[key] for key in known if key in folder.run}
    model = Model(run_id=run_id, model_id=model_id, metadata=metadata)
    shape, said = input_shape(source), folder.run.get("output_shape")
    if shape is not None and said is not None:
        single = np.dtype(np.float32)
        sizes = tuple(-1 if size is None else int(size) for size in shape)
        answer = folder.run["answer"]
        names = [quantity["name"] for quantity in answer.get("quantities", [])]
        names = names or answer["classes"]["classes"]
        model.signature = ModelSignature(
            Schema([TensorSpec(single, sizes)]),
            Schema([TensorSpec(single, (-1, *map(int, said)), "_".join(names))]),
        )
    model.add_flavor(
        "keras",
        data="data",
        keras_version=str(versions.get("keras", "")),
        keras_backend=str(versions.get("backend", "tensorflow")),
        save_exported_model=False,
    )
    python = str(versions.get("python", ""))
    model.add_flavor("python_function", loader_module="mlflow.keras", python_version=python)
    model.save(str(place / "MLmodel"))
