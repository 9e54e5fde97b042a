"""Mirror finished run folders in MLflow: one run per (task, variant, method, seed), and a summary.

The run folder is the truth and MLflow a view of it: this module may be run again at any time, and
the store may be deleted at any time.

- A run is known by its tags ``galadapt.run`` (task/variant/method/seed) and
  ``galadapt.fingerprint``, a digest of the folder's content. A run of the same fingerprint is left
  alone. One of another, an unfinished one, and one whose folder is not given any more are deleted
  with their artifacts (their rows stay in the store's bin until ``mlflow gc``).
- The tag ``galadapt.project`` says whose a run is: on a server that several projects use, each
  replaces and removes its own runs alone.
- One more run, the summary, holds the tables and figures of the whole experiment as artifacts.
- An SQLite store that a full disk left half-written is set aside and made anew.
- One lock beside the store keeps two processes from writing at once.

Experiments are called ``<experiment>/<preset>/<task>``: runs on other data, or of another task, are
no fair comparison. Names are chosen for how MLflow sorts and cuts them: a run is
``method/variant/seed``, R² values sort before all other metrics, settings after what names a run.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import pandas as pd

from galadapt.answers.best import number
from galadapt.config.machine import LOCAL_STORE
from galadapt.core.errors import DataError, RunError
from galadapt.core.files import canonical_json, locked, read_json, read_table, require, write_csv
from galadapt.core.log import log
from galadapt.core.provenance import digest, file_digest
from galadapt.evaluation.runs import IDENTITY, Metrics
from galadapt.pipeline import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "galadapt.run"
FINGERPRINT_TAG = "galadapt.fingerprint"
PROJECT_TAG = "galadapt.project"

#: End of the key of the summary.
_SUMMARY = "/summary"

#: Without these a run folder is unfinished.
_REQUIRED = (
    *("run.json", "environment.json", "history.csv"),
    *("predictions.parquet", "predictions.json", "metrics.json", "breakdown.csv"),
)

#: Not logged: made or not, and at any time, as figures of the whole experiment need it.
_LEFT_OUT = "embeddings.parquet"

#: Differ between two equal trainings (times, the date of saving), so that a fingerprint leaves
#: them out; two models that differ also differ in their predictions.
_TIMED = ("environment.json", "history.csv", "model")

#: MLflow takes at most 1000 metrics at a time.
_BATCH = 900


@dataclass(frozen=True)
class Entry:
    """One run of MLflow."""

    key: str  #: Unique: task/variant/method/seed, or task/summary.
    name: str  #: What the runs table shows; its column is narrow, so the method comes first.
    fingerprint: str  #: Digest of all that is logged, but for times.
    files: Mapping[str, Path]  #: Artifacts by their places.
    tags: Mapping[str, str]  #: More than the two that identify it.
    started: int | None = None  #: Milliseconds since 1970; None for now, as `ended`.
    ended: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    #: (name, value, milliseconds since 1970, epoch or 0).
    metrics: Sequence[tuple[str, float, int, int]] = ()
    #: Uses of each data set by its name and digest.
    datasets: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)


def track(
    runs: Sequence[Path],
    uri: str,
    experiment: str,
    manifest: Path,
    configuration: Mapping[str, Any],
    version: str = "",
    summary: Sequence[Path] = (),
    project: str = "",
) -> None:
    """Make the store show exactly these runs of the project.

    Args:
        runs: Run folders, evaluated (with metrics.json); figures/ below them are optional.
        uri: Tracking store, ``sqlite:///path`` (relative to the working directory) or a server's
            address. Artifacts of an SQLite store go to ``mlartifacts`` beside it.
        experiment: Prefix of the experiment's name.
        manifest: CSV to write: task, variant, method, seed, fingerprint of every run.
        configuration: The whole configuration; `preset` is part of the experiment's name, and all
            of it is shown on the experiment's page.
        version: Digest of this code: another one logs every run anew.
        summary: Tables and figures of the whole experiment; none: what the store has stays.
        project: Whose runs these are.

    Raises:
        DataError: a run folder is unfinished or broken; the store is left as it was.
        RunError: the store cannot be reached or written.
    """
    methods = configuration.get("method_settings", {})
    folders: dict[str, Path] = {}
    found: dict[str, list[Entry]] = {}
    rows = []
    # What would stop the logging half-way is found here, before the store is touched.
    for folder in map(Path, runs):
        entry = read_run(folder, methods, version)
        if entry.key in folders:
            raise DataError(
                f"{folder}: is the same run ({entry.key}) as {folders[entry.key]}; name each run "
                "once"
            )
        folders[entry.key] = folder
        found.setdefault(entry.tags["task"], []).append(entry)
        rows.append([*(entry.tags[name] for name in IDENTITY), entry.fingerprint])
    if summary:
        for task in found:
            found[task].append(read_summary(task, [Path(path) for path in summary], version))
    local = store.database(uri)
    lock = (local or manifest).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with (
        store.temporary_files(manifest.parent),
        store.variables(store.RETRIES),
        locked(lock, f"{lock}: another process is writing the MLflow store; waiting for it"),
    ):
        client_class, failures = _mlflow()

        def mirror(address: str) -> None:
            if local is not None:
                store.write_nothing(local)
            with store.variables(store.PATIENCE, override=True):
                client = client_class(address)
                client.search_experiments(max_results=1)
            root = local.parent / "mlartifacts" if local else None
            for task, entries in found.items():
                name = f"{experiment}/{configuration.get('preset', 'default')}/{task}"
                _synchronise(client, name, root, entries, configuration, project)

        try:
            try:
                mirror(store.address(uri))
            except failures as error:
                if local is None or not store.broken(local, error):
                    raise
                store.set_aside(local)
                # MLflow keeps what it has opened by its address: another spelling opens it anew.
                mirror(f"{LOCAL_STORE}{local.parent}/./{local.name}")
        except failures as error:
            raise RunError(store.explain(uri, error)) from None
    write_csv(manifest, pd.DataFrame(rows, columns=[*IDENTITY, "fingerprint"]))


# --- reading run folders ----------------------------------------------------------------------


def read_run(folder: Path, methods: Mapping[str, Any], version: str) -> Entry:
    """Read a run folder, with its method's description; a DataError if it is not complete."""
    for name in _REQUIRED:
        if not (folder / name).is_file():
            raise DataError(
                f"{folder}: unfinished run, lacks {name}; rerun training and evaluation"
            )
    run, metrics = read_json(folder / "run.json"), Metrics(folder / "metrics.json")
    require(run, IDENTITY, folder / "run.json", "rerun the training", "key")
    about = methods.get(run["method"], {}).get("description") or "no description"
    history = read_table(folder / "history.csv")
    started, ended = (_time(folder / "environment.json", name) for name in ("started", "ended"))
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _LEFT_OUT and not path.name.startswith(".")
    }
    untimed = history.drop(columns="seconds", errors="ignore").to_csv(index=False)
    content = {
        place: file_digest(path)
        for place, path in files.items()
        if place.partition("/")[0] not in _TIMED
    }
    uses: dict[tuple[str, str], list[str]] = {}
    for use, record in (("training", run), ("testing", read_json(folder / "predictions.json"))):
        for name, of_data in (record.get("datasets") or {}).items():
            # MLflow shows and stores at most 36 characters of a digest.
            uses.setdefault((str(name), str(of_data)[:36]), []).append(use)
    return Entry(
        key="{task}/{variant}/{method}/seed{seed}".format(**run),
        name="{method}/{variant}/seed{seed}".format(**run),
        fingerprint=digest([content, untimed, about, version]),
        files=files,
        tags={
            **{name: str(run[name]) for name in IDENTITY},
            "mlflow.note.content": _note(run["method"], about, metrics),
        },
        started=started,
        ended=ended,
        parameters=_parameters(run),
        metrics=[
            *(
                (key, value, ended, 0)
                for key, value in metrics.logged(folder / "breakdown.csv").items()
                if not math.isnan(value)
            ),
            *_epochs(history, started),
        ],
        datasets=uses,
    )


def read_summary(task: str, files: Sequence[Path], version: str) -> Entry:
    """Name what belongs to no single run, as it lies below the folder that holds all of it.

    Raises:
        DataError: a file is missing.
    """
    for path in files:
        if not path.is_file():
            raise DataError(f"{path}: no such file; rerun the stage that writes it")
    top = os.path.commonpath([path.parent for path in files])
    named = {path.relative_to(top).as_posix(): path for path in files}
    content = {place: file_digest(path) for place, path in named.items()}
    note = "Tables and figures of the whole experiment: see the artifacts."
    tags = {"task": task, "mlflow.note.content": note}
    return Entry(task + _SUMMARY, "summary", digest([content, version]), named, tags)


def _time(environment: Path, name: str) -> int:
    """Read a time in milliseconds since 1970."""
    try:
        moment = datetime.fromisoformat(read_json(environment)[name])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{environment}: '{name}' is not an ISO 8601 time; rerun the training"
        ) from None
    return int(moment.timestamp() * 1000)


def _parameters(run: Mapping[str, Any]) -> dict[str, str]:
    """Flatten what was set for a run: identity, method settings, variant, network size."""
    settings = {"settings": {**(run.get("settings") or {}), "description": None}}
    (flat,) = pd.json_normalize(settings).to_dict("records")
    names = (*IDENTITY, "variant_steps", "parameter_count", "best_epoch", "epochs_run")
    values: dict[Any, Any] = {**{name: run.get(name) for name in names}, **flat}
    text = {
        str(key): value if isinstance(value, str) else canonical_json(value)
        for key, value in values.items()
        if value is not None
    }
    # MLflow takes at most 100 parameters at a time, of at most 6000 characters each.
    return {key: value[:5900] for key, value in list(text.items())[:100] if value}


def _note(method: str, about: str, metrics: Metrics) -> str:
    """Describe a run in Markdown: what the method is and its headline numbers."""
    columns = metrics.headline()
    names = [column.head for column in columns]
    lines = [f"**{method}**: {about}", ""]
    lines += [f"| test set | {' | '.join(names)} | n |", "|---" * (len(names) + 2) + "|"]
    for domain in sorted(metrics.domains):
        cells = [number(metrics.figure(domain, column)) for column in columns]
        count = metrics.value(domain, metrics.items[0], "n")
        lines.append(f"| {domain} | {' | '.join(cells)} | {count:.0f} |")
    return "\n".join(lines)


def _about(configuration: Mapping[str, Any]) -> str:
    """Describe an experiment in Markdown: its data, methods, seeds, and where the rest is."""

    def listed(key: str) -> str:
        return ", ".join(map(str, configuration.get(key) or [])) or "none"

    survey = configuration.get("survey") or {}
    lines = [
        f"Task **{configuration.get('task')}**, preset **{configuration.get('preset')}**, "
        f"survey **{survey.get('kind', 'none')}**.",
        "",
        f"Variants: {listed('variants')}. Training seeds: {listed('seeds')}. Seed of the data: "
        f"{configuration.get('seed')}.",
        "",
        "| method | what it is |",
        "|---|---|",
    ]
    settings = configuration.get("method_settings") or {}
    for name in configuration.get("methods") or []:
        what = settings.get(name, {}).get("description") or "no description"
        lines.append(f"| {name} | {what} |")
    lines += [
        "",
        "Each run is one training; the run *summary* holds tables, figures and the report. All "
        "settings of a run are among its parameters; the whole configuration is at the end of "
        "`report.html`.",
    ]
    return "\n".join(lines)


def _epochs(history: pd.DataFrame, started: int) -> Iterable[tuple[str, float, int, int]]:
    """Yield the points of every column of a training's history."""
    seconds = history["seconds"].cumsum() if "seconds" in history else pd.Series(0, history.index)
    for name in history.columns.difference(["epoch", "seconds"], sort=False):
        for epoch, value, after in zip(history["epoch"], history[name], seconds, strict=True):
            if pd.notna(value):
                yield f"training/{name}", float(value), started + int(1000 * after), int(epoch)


# --- the store --------------------------------------------------------------------------------


def _mlflow() -> tuple[type[MlflowClient], tuple[type[Exception], ...]]:
    """Import MLflow, without telemetry and messages of its migrations; what it raises with it."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient, (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)


def _synchronise(
    client: MlflowClient,
    name: str,
    root: Path | None,
    entries: Sequence[Entry],
    configuration: Mapping[str, Any],
    project: str,
) -> None:
    """Make an experiment hold these entries; `root`: folder of a local store's artifacts."""
    experiment = _experiment(client, name, root)
    # A tag holds at most 5000 characters.
    client.set_experiment_tag(experiment, "mlflow.note.content", _about(configuration)[:5000])
    wanted = {entry.key: entry for entry in entries}
    kept: set[str] = set()
    removed = 0
    for run in client.search_runs([experiment], max_results=50_000):
        key = run.data.tags.get(RUN_TAG)
        if key is None or not _owned(run.data.tags.get(PROJECT_TAG), project, root is not None):
            continue  # logged by hand, or another project's
        if key.endswith(_SUMMARY) and not any(name.endswith(_SUMMARY) for name in wanted):
            continue  # of tables and figures that are not given
        artifacts = Path(unquote(urlparse(run.info.artifact_uri).path))
        if (
            key in wanted
            and key not in kept
            and run.info.status == "FINISHED"
            and run.data.tags.get(FINGERPRINT_TAG) == wanted[key].fingerprint
            and (root is None or artifacts.is_dir())
        ):
            kept.add(key)
            continue
        client.delete_run(run.info.run_id)
        if root is not None and artifacts.is_relative_to(root):
            # The run's folder is the parent of its artifacts; nothing else lies in it.
            shutil.rmtree(artifacts.parent, ignore_errors=True)
        removed += 1
    for key, entry in wanted.items():
        if key not in kept:
            _log(client, experiment, entry, project)
    log.info(
        f"MLflow experiment {name}: {len(entries) - len(kept)} runs logged, {len(kept)} unchanged, "
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
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        if location in (None, found.artifact_location):
            return str(found.experiment_id)
        client.rename_experiment(found.experiment_id, f"{name} (moved {found.experiment_id})")
        client.delete_experiment(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=location))


def _owned(owner: str | None, project: str, local: bool) -> bool:
    """Tell whether a run may be replaced: one without an owner is ours in a store of our own."""
    return owner == project if owner is not None else local


def _log(client: MlflowClient, experiment: str, entry: Entry, project: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    own = {RUN_TAG: entry.key, PROJECT_TAG: project}
    tags = {**own, "mlflow.source.name": "galadapt", **entry.tags}
    run = client.create_run(experiment, entry.started, tags, entry.name).info.run_id
    client.log_batch(run, params=[Param(*pair) for pair in entry.parameters.items()])
    metrics = [Metric(*point) for point in entry.metrics]
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run, metrics=metrics[start : start + _BATCH])
    # A run holds a data set once, so one tag names all its uses.
    inputs = [
        DatasetInput(
            Dataset(name, content, "local", json.dumps({"uri": name})),
            [InputTag("mlflow.data.context", ", ".join(uses))],
        )
        for (name, content), uses in sorted(entry.datasets.items())
    ]
    if inputs:
        client.log_inputs(run, inputs)
    for place, path in entry.files.items():
        client.log_artifact(run, str(path), place.rpartition("/")[0] or None)
    # Last of all: only a run that has all of its parts gets its fingerprint and its end.
    client.set_tag(run, FINGERPRINT_TAG, entry.fingerprint)
    client.set_terminated(run, "FINISHED", end_time=entry.ended)
