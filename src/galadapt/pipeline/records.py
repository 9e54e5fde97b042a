"""Records of finished jobs, beside their results: what each was made with, and from what.

``<results>/records/<stage>/<wildcards>.json`` has the settings of one job and the SHA-256 of every
file it read and wrote. A workflow manager keeps records of its own elsewhere; these go wherever the
results go, so that results without the manager's records are known for what they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galadapt.core.errors import DataError, GaladaptError
from galadapt.core.files import canonical_json, read_json, write_json
from galadapt.core.provenance import file_digest
from galadapt.core.stage import Paths, Settings
from galadapt.pipeline import jobs
from galadapt.tasks import prune
from galadapt.tasks.experiment import Experiment

#: Below the folder of results.
FOLDER = "records"

#: The folders of results that jobs may write to, joined by `os.pathsep`.
VARIABLE = "GALADAPT_RESULTS"

#: At the root of results too, but no results: nothing is known by what is in them.
NOT_RESULTS = frozenset({FOLDER, "logs", "benchmarks", "checkpoints"})


@dataclass(frozen=True)
class Record:
    """What one job was made with."""

    stage: str
    settings: Settings
    inputs: Mapping[str, str]  #: Digest of every file that was read, by its path.
    outputs: Mapping[str, str]  #: The same of what was written.

    @property
    def wildcards(self) -> dict[str, str]:
        """Wildcards of the job."""
        return dict(self.settings.get("wildcards", {}))

    def describes(self) -> bool:
        """Tell whether the outputs are those that the job wrote."""
        return all(_digest(Path(path)) == known for path, known in self.outputs.items())


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and those in folders."""
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        elif path.is_file():
            yield path


def _digests(paths: Paths) -> dict[str, str]:
    named = [path for some in paths.values() for path in some]
    return {path.as_posix(): file_digest(path) for path in _files(named)}


def place(results: Path, stage: str, wildcards: Mapping[str, Any]) -> Path:
    """Return the path of the record of a job."""
    name = ",".join(f"{key}={wildcards[key]}" for key in sorted(wildcards)) or "job"
    return results / FOLDER / stage / f"{name}.json"


def results_of(outputs: Iterable[Path]) -> Path | None:
    """Return the folder of results that holds all outputs: the innermost that `VARIABLE` names."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    paths = list(outputs)
    holding = [
        Path(folder)
        for folder in named
        if folder and all(path.is_relative_to(folder) for path in paths)
    ]
    return max(holding, key=lambda folder: len(folder.parts), default=None)


def write(stage: str, job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Record a job that has finished, where its outputs are results of a workflow."""
    results = results_of(path for some in outputs.values() for path in some)
    if results is None:
        return
    record = {
        "stage": stage,
        "settings": job,
        "inputs": _digests(inputs),
        "outputs": _digests(outputs),
    }
    write_json(place(results, stage, job.get("wildcards", {})), record)


def read_one(path: Path) -> Record | None:
    """Read a record; None where it is missing or broken, which comes to the same.

    Paths in it are as they were named when the job ran, normally relative to the project.
    """
    try:
        value = read_json(path)
        return Record(**{name: value[name] for name in Record.__annotations__})
    except (DataError, KeyError, TypeError):
        return None


def read(results: Path) -> list[Record]:
    """Read all records below a folder of results."""
    found = map(read_one, sorted((results / FOLDER).glob("*/*.json")))
    return [record for record in found if record is not None]


def made_in(results: str | Path) -> Iterator[Path]:
    """Yield every file and folder of results but records, logs and the like."""
    # Parts of the results may be links to another disk.
    for folder, inner, files in os.walk(results, followlinks=True):
        here = Path(folder)
        if here == Path(results):
            inner[:] = [name for name in inner if name not in NOT_RESULTS]
        for name in (*inner, *files):
            if not name.startswith("."):
                yield here / name


def summary_of(results: Path, config: Experiment) -> list[Path]:
    """List the tables and figures of a whole experiment, for the tracking store.

    Those of earlier configurations, which `galadapt prune` removes, are left out.
    """
    earlier = set(prune.stale(results, config))
    return [
        path
        for path in sorted(made_in(results))
        if path.relative_to(results).parts[0] in ("tables", "figures", "metrics")
        and path.is_file()
        and path.suffix != ".parquet"
        and not earlier & {path, *path.parents}
    ]


def stale(config: Experiment) -> dict[str, str]:
    """Say of every output in the results of an experiment that is not up to date why.

    Returns:
        One sentence by path. What the experiment does not name any more is left out, as is what has
        not been made yet.
    """
    results = Path(config.results)
    records = read(results)
    found: dict[str, str] = {}
    known: set[str] = set()
    for record in records:
        present = [path for path in record.outputs if Path(path).exists()]
        known |= set(present)
        reason = _reason(record, config)
        if reason is not None:
            found |= dict.fromkeys(present, reason)
    for run in config.runs():
        # Files of run folders that one job each writes and records.
        for name in ("run.json", "predictions.parquet", "metrics.json"):
            path = results / "runs" / run.folder / name
            if path.exists() and str(path) not in known:
                found[str(path)] = "there is no record of the settings it was made with"
    return dict(sorted(found.items()))


def _reason(record: Record, config: Experiment) -> str | None:
    """State why the outputs of a job are outdated; None where they are not, or do not count."""
    try:
        if not _named(record, config):
            return None
        settings = jobs.settings(config, record.stage.rpartition(".")[2], **record.wildcards)
        now = json.loads(canonical_json(settings))
    except (GaladaptError, KeyError):
        return None
    if now != record.settings:
        return "made with " + "; ".join(differences(record.settings, now))
    for path, digest in record.inputs.items():
        # An input that is gone is made again, with all that follows; a re-run decides about it.
        if Path(path).exists() and _digest(Path(path)) != digest:
            return f"made from another {path}"
    for path, digest in record.outputs.items():
        if Path(path).exists() and _digest(Path(path)) != digest:
            return f"{path} is not what the job wrote"
    return None


def _named(record: Record, config: Experiment) -> bool:
    """Tell whether the experiment still has the job."""
    wildcards = record.wildcards
    source = wildcards.get("source")
    return (
        jobs.full_name(config.task, record.stage.rpartition(".")[2]) == record.stage
        and wildcards.get("variant", config.variants[0]) in config.variants
        and wildcards.get("method", config.methods[0]) in config.methods
        and int(wildcards.get("seed", config.seeds[0])) in config.seeds
        and (source is None or source in config.sources)
    )


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """List what two settings of a job differ in, ``key: old, now new``; at most four."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in sorted({*old, *new}):
            inner = f"{where}.{key}" if where else str(key)
            found += differences(old.get(key), new.get(key), inner.removeprefix("config."))
        return found[:4]
    if old == new:
        return []
    if where.partition(".")[0] in ("code", "codes"):
        return ["other code"] if where == "code" else []
    return [f"{where} {_short(old)}, now {_short(new)}"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
