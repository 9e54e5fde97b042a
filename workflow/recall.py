"""What Snakemake must know, and may write, before it plans.

Results without Snakemake's own records: copied from another machine, an archive, over others.

Their jobs left records beside them (`galadapt.pipeline.records`). Snakemake's are written anew from
these, so that it compares settings and inputs as ever; where there is no record either, nothing
proves the results, and they are made again.

Files that DVC linked to its cache (`dvc config cache.type hardlink` or `symlink`): Snakemake would
write its records through a link into the cache, and refuses outputs that it may not write.
"""

from __future__ import annotations

import os
import shutil
import stat
from functools import cache
from pathlib import Path
from typing import Any

from snakemake.iocontainers import Wildcards
from snakemake.logging import logger
from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import PersistenceBackend

from galadapt.core.files import Kept, canonical_json
from galadapt.pipeline import records

#: Stands for settings that are not known.
UNKNOWN = ["settings are not known"]


def restore(workflow: Any) -> None:
    """Restore the records of every results folder of a workflow whose rules are all known."""
    # A job on another machine has no records to keep; those in a database are nobody's copy.
    backend = workflow.workflow_settings.persistence_backend
    if not workflow.is_main_process or backend != PersistenceBackend.FILE:
        return
    persistence = FilePersistence(nolock=True)
    release(Path(persistence._metadata_path))
    producers: dict[str, list[Any]] = {}
    for one in workflow.rules:
        settings = getattr(one.params, "settings", None)
        if hasattr(settings, "results"):
            producers.setdefault(settings.results, []).append(one)
    for results, rules in producers.items():
        stale, unproven = recall(results, rules, persistence)
        if stale or unproven:
            logger.warning(
                f"{results}: Snakemake has no record of files that were copied here: {stale} of "
                f"other settings or code and {unproven} without a record of their settings are "
                "made again where they are needed (`galadapt check --results` lists them)"
            )


def release(folder: Path) -> None:
    """Put copies in the place of files that are linked to another place."""
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            copy = path.with_name(f".{path.name[:100]}.copy")
            shutil.copyfile(path, copy)
            copy.replace(path)


def recall(results: str, rules: list[Any], persistence: Any) -> tuple[int, int]:
    """Restore records of the outputs in one folder; count the stale and the unproven."""
    stale = unproven = 0
    # Files of new dates that were found to be those of Snakemake's records: each is hashed once.
    seen = Kept(persistence.path / "galadapt-seen.json")
    for path in records.made_in(results):
        if not path.exists():
            continue
        if path.is_file() and not os.access(path, os.W_OK):
            # Jobs replace a file and never write into it: what it is linked to keeps its content.
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        name, date = path.as_posix(), path.stat().st_mtime
        known = persistence._read_record(name)
        recorded = known is not None and known.params != UNKNOWN
        if recorded and (unchanged(path, known) or seen.get(name) == date):
            continue
        made = producer_of(name, rules)
        if made is None:
            continue
        producer, wildcards = made
        stage = producer.params.settings.stage
        record = job_record(records.place(Path(results), stage, wildcards))
        made_with = record and repr(canonical_json(record.settings))
        # Another file than Snakemake saw there is of the settings that its own job recorded.
        if recorded and (record is None or made_with in known.params):
            seen[name] = date
            continue
        params, checksums = UNKNOWN, {}
        if record is None:
            unproven += 1
        else:
            params = params_of(producer, wildcards)
            if made_with not in params:
                stale += 1
                params = [made_with]
            checksums = {file: f"sha256:{digest}" for file, digest in record.inputs.items()}
        persistence._write_record(
            name,
            MetadataRecord(
                rule=producer.name,
                params=params,
                input_checksums=checksums,
                record_format_version=RECORD_FORMAT_VERSION,
                endtime=date,
            ),
        )
    seen.keep()
    return stale, unproven


def params_of(rule: Any, wildcards: dict[str, str]) -> list[str]:
    """Return the parameters of a job as Snakemake records them."""
    values = [
        value(Wildcards(fromdict=wildcards)) if callable(value) else value for value in rule.params
    ]
    return sorted(map(repr, values))


def producer_of(path: str, rules: list[Any]) -> tuple[Any, dict[str, str]] | None:
    """Return the rule and the wildcards that make a path, or None."""
    for rule in rules:
        for output in rule.output:
            found = output.match(path)
            if found:
                return rule, found.groupdict()
    return None


def unchanged(path: Path, known: MetadataRecord) -> bool:
    """Tell whether a file is of the date at which Snakemake recorded it; folders have none."""
    return not path.is_file() or abs(path.stat().st_mtime - (known.endtime or 0)) <= 1


@cache
def job_record(path: Path) -> records.Record | None:
    """Return the record of a job, None where it is not of the files that lie there."""
    record = records.read_one(path)
    return record if record is not None and record.describes() else None
