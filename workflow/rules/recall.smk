# Results without Snakemake's own records: copied from another machine, from an archive, over others.
# Their jobs left records beside them (galadapt.pipeline.records). Snakemake's are written anew from
# these, so that it compares settings and inputs as ever; where there is no record either, nothing
# proves the results, and they are made again.
from functools import cache

from snakemake.iocontainers import Wildcards
from snakemake.logging import logger
from snakemake.persistence import MetadataRecord, RECORD_FORMAT_VERSION
from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import PersistenceBackend

# Stands for settings that are not known.
UNKNOWN = ["settings are not known"]


def params_of(rule, wildcards):
    """Return the parameters of a job as Snakemake records them."""
    values = [
        value(Wildcards(fromdict=wildcards)) if callable(value) else value
        for value in rule.params
    ]
    return sorted(map(repr, values))


def producer_of(path, candidates):
    """Return the rule and the wildcards that make a path, or None."""
    for rule in candidates:
        for output in rule.output:
            found = output.match(path)
            if found:
                return rule, found.groupdict()
    return None


def doubtful(path, known):
    """Tell whether Snakemake has no record of a path, or has seen another file there."""
    if known is None or known.params == UNKNOWN:
        return True
    return path.is_file() and abs(path.stat().st_mtime - (known.endtime or 0)) > 1


@cache
def job_record(path):
    """Return the record of a job, None where it is not of the files that lie there."""
    record = records.read_one(path)
    return record if record is not None and record.describes() else None


def recall(results, candidates, persistence):
    """Restore Snakemake's records of the outputs in a folder; count the stale and the unproven."""
    counts = {"stale": 0, "unproven": 0}
    for path in records.made_in(results):
        known = persistence._read_record(path.as_posix())
        made = doubtful(path, known) and producer_of(path.as_posix(), candidates)
        if not made:
            continue
        producer, wildcards = made
        stage = producer.params.settings.stage
        record = job_record(records.place(Path(results), stage, wildcards))
        if known is not None and known.params != UNKNOWN:
            settings = record and repr(canonical_json(record.settings))
            if record is None or settings in known.params:
                continue
        params, checksums = UNKNOWN, {}
        if record is None:
            counts["unproven"] += 1
        else:
            params = params_of(producer, wildcards)
            made_with = repr(canonical_json(record.settings))
            if made_with not in params:
                counts["stale"] += 1
                params = [made_with]
            checksums = {
                name: f"sha256:{digest}" for name, digest in record.inputs.items()
            }
        restored = MetadataRecord(
            params=params,
            input_checksums=checksums,
            record_format_version=RECORD_FORMAT_VERSION,
            endtime=path.stat().st_mtime,
        )
        restored.rule = producer.name
        persistence._write_record(path.as_posix(), restored)
    return counts


# A job on another machine has no records to keep; those in a database are nobody's copy.
if (
    workflow.is_main_process
    and workflow.workflow_settings.persistence_backend == PersistenceBackend.FILE
):
    producers = {}
    for rule in workflow.rules:
        settings = getattr(rule.params, "settings", None)
        if hasattr(settings, "results"):
            producers.setdefault(settings.results, []).append(rule)
    for results, candidates in producers.items():
        counts = recall(results, candidates, FilePersistence(nolock=True))
        if counts["stale"] or counts["unproven"]:
            logger.warning(
                f"{results}: Snakemake has no record of files that were copied here: "
                f"{counts['stale']} of other settings or code and {counts['unproven']} without a "
                "record of their settings are made again where they are needed "
                "(`galadapt check --results` lists them)"
            )
