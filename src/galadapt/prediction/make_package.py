"""Making a model package of finished runs, and measuring its accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt import __version__
from galadapt.answers.numbers.metrics import columns, quantity_metrics
from galadapt.config.base import DOMAINS, Interval
from galadapt.config.image import Psf
from galadapt.config.survey import Extraction
from galadapt.config.training import Compute, Predictor
from galadapt.core.errors import DataError
from galadapt.core.files import require, write_json, write_parquet
from galadapt.core.log import log
from galadapt.core.onnx_files import OnnxNetwork
from galadapt.core.provenance import file_digest
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.cutouts.neighbours import shape_of
from galadapt.learners import run_folder
from galadapt.learners.data import chosen_rows
from galadapt.learners.job import read_record
from galadapt.learners.keras import backend
from galadapt.learners.keras.learner import NETWORK
from galadapt.learners.predict import feature_table
from galadapt.prediction.checks import noise_correlation
from galadapt.prediction.ensemble import BATCH, Ensemble
from galadapt.prediction.intervals import ENOUGH, WidestIntervals, arrays, coverage, labelled
from galadapt.prediction.package import RECORD, REFERENCE, SCHEMA, Member, Quality, Record
from galadapt.simulation.psf import fwhm, make_psf
from galadapt.stamps.format import StampSet
from galadapt.stamps.preprocess import read_steps

#: Coverages that are measured and stored.
LEVELS = (0.68, 0.95)

#: Fewest galaxies that errors are taken from.
_ENOUGH = 20

#: Stamps read at once.
_STAMPS = 512

#: Simulated stamps in which the correlation of the noise is measured.
_NOISE_STAMPS = 64

#: Magnitude bins of the coverage table, and the fewest test galaxies of one.
_BINS, _PER_BIN = 4, 50

#: What all runs of a package share.
_SHARED = ("task", "variant", "method", "settings", "variant_steps", "stamps")


def write_package(
    runs: Sequence[Path],
    simulated: Sequence[Path],
    survey: Path,
    psf: Psf,
    extraction: Extraction,
    predictor: Predictor,
    survey_kind: str,
    output: Path,
    compute: Compute,
    provenance: Mapping[str, Any],
) -> None:
    """Write the folder that `galadapt predict` measures with (`galadapt.prediction.package`).

    Args:
        runs: Run folders (run.json, model/) of the seeds of one task, variant and method.
        simulated: Stamp sets (shards) of the simulated domain BEFORE any variant: these are
            processed like a user's stamps.
        survey: Stamp set of the survey before any variant.
        psf: PSF of the simulations.
        extraction: How stamps are cut out of mosaics.
        predictor: Licence and citation of the package.
        survey_kind: Kind of the survey.
        output: Folder to write.
        compute: Backend, threads and GPUs.
        provenance: Stored in package.json; no time and no path.

    Raises:
        ConfigError: the backend is not installed.
        DataError: a run or stamp set is missing or broken, runs differ in more than their seed, or
            there are too few validation galaxies to measure errors with.
    """
    backend.prepare(compute)
    # Keras must not be imported before its backend is chosen.
    from galadapt.learners.keras import networks
    from galadapt.learners.keras.onnx_export import export

    records = _read_runs(runs)
    run = records[0]
    settings = run["settings"]
    paths = [output / f"member-{number}.onnx" for number in range(1, len(runs) + 1)]
    for folder, path in zip(runs, paths, strict=True):
        export(networks.load(folder / run_folder.MODEL / NETWORK), path, BATCH)
    with StampSet(simulated) as stamps, StampSet(survey) as survey_stamps:
        sets = {"simulated": stamps, "survey": survey_stamps}
        pixel_scale = float(stamps.metadata["pixel_scale"])
        if "variant_steps" in stamps.metadata:
            raise DataError(
                f"{stamps.paths[0]}: a variant's stamp set; give the stamps before the variant"
            )
        seen = [d for d in settings["domains"] if d == "simulated" or settings["survey_labels"]]
        record = Record(
            name="/".join(run[key] for key in ("task", "variant", "method")),
            parameters=PARAMETERS,
            members=[
                Member(
                    file=path.name,
                    seed=one["seed"],
                    digest=file_digest(path),
                    target_scaling=one["answer"]["scaling"],
                )
                for one, path in zip(records, paths, strict=True)
            ],
            reference_digest="",
            size=0,
            variant_steps=read_steps(run["variant_steps"]),
            stamp_size=stamps.side,
            pixel_scale=pixel_scale,
            zero_point=stamps.metadata["zero_point"],
            band=stamps.metadata["band"],
            pixel_rms=run["stamps"]["pixel_rms"],
            noise_correlation=_noise_correlation(stamps, extraction),
            exposure_time=(stamps.metadata.get("noise") or {}).get("exposure_time"),
            psf=psf,
            psf_fwhm=round(fwhm(make_psf(psf, pixel_scale), pixel_scale), 4),
            extraction=extraction,
            training_ranges=_ranges(sets, seen, settings["max_magnitude"]),
            method=settings,
            labels_of=tuple(seen),
            survey=survey_kind,
            reference_domains=("simulated",),
            feature_domains=tuple(settings["domains"]),
            coverage=(),
            quality=(),
            licence=predictor.licence,
            citation=predictor.citation,
            version=__version__,
            provenance=dict(provenance),
        )
        ensemble = Ensemble(record, {str(path): OnnxNetwork(path, 1, 2) for path in paths})
        measured: pd.DataFrame = pd.concat(
            [
                _measure(sets[domain], domain, split, ensemble, settings["max_magnitude"])
                for domain in DOMAINS
                for split in ("validation", "test")
            ],
            ignore_index=True,
        )
    reference = measured[measured["split"] == "validation"].drop(columns="split")
    test = measured[measured["split"] == "test"]
    domains = _reference_domains(record, reference)
    coverage_rows = _coverage_rows(record, reference, domains, test)
    write_parquet(output / REFERENCE, reference.reset_index(drop=True))
    record = record.model_copy(
        update={
            "reference_digest": file_digest(output / REFERENCE),
            "reference_domains": domains,
            "coverage": tuple(coverage_rows),
            "size": sum(file.stat().st_size for file in (output / REFERENCE, *paths)),
            "quality": _quality(test),
        }
    )
    write_json(output / RECORD, {"schema": SCHEMA, **record.model_dump(mode="json")})
    log.info(f"package {record.name}: errors from {' and '.join(domains)} galaxies")
    table = pd.DataFrame(coverage_rows)
    for line in table.to_string(index=False, float_format="{:.3f}".format).splitlines():
        log.info(line)


def _read_runs(runs: Sequence[Path]) -> list[dict[str, Any]]:
    if not runs:
        raise DataError("no run folder was given; name those of one method's seeds")
    records = [read_record(folder / "run.json") for folder in runs]
    for folder, record in zip(runs, records, strict=True):
        remedy = "delete its run folder and train again"
        require(record, (*_SHARED, "seed", "answer"), folder / "run.json", remedy, "key")
        if record["learner"] != "keras":
            raise DataError(
                f"{folder / 'run.json'}: of learner {record['learner']}; a package holds networks, "
                "give the runs of a method with learner keras"
            )
        for key in _SHARED:
            if record[key] != records[0][key]:
                raise DataError(
                    f"{folder / 'run.json'}: {key} differs from that of {runs[0]}; a package holds "
                    "the seeds of one task, variant and method"
                )
    return records


def _ranges(sets: dict[str, StampSet], seen: list[str], limit: float | None) -> dict[str, Interval]:
    """Smallest and largest label of each parameter in the training stamps of the domains seen."""
    tables = [sets[domain].table for domain in seen]
    rows = pd.concat([table[table["split"] == "train"] for table in tables])
    if limit is not None:
        rows = rows[rows["magnitude"] <= limit]
    return {
        name: Interval(low=float(rows[name].min()), high=float(rows[name].max()))
        for name in PARAMETERS
    }


def _noise_correlation(stamps: StampSet, extraction: Extraction) -> float | None:
    """Median correlation of the noise of neighbouring pixels in stamps; None if unknown."""
    rms = stamps.metadata.get("pixel_rms")
    if not rms:
        return None
    images = stamps.images(np.arange(min(_NOISE_STAMPS, len(stamps.table))))
    found = [
        noise_correlation(image, shape_of(image, float(rms), (0.0, 0.0), extraction).empty)
        for image in images
    ]
    known = [value for value in found if np.isfinite(value)]
    return round(float(np.median(known)), 4) if known else None


def _measure(
    stamps: StampSet, domain: str, split: str, ensemble: Ensemble, max_magnitude: float | None
) -> pd.DataFrame:
    """Predictions, truths and features of one split of a domain; see `package` for the columns."""
    rows = chosen_rows(stamps, split, magnitude_limit=max_magnitude)
    labels = stamps.table.iloc[rows].reset_index(drop=True)
    table = pd.DataFrame({"id": labels["id"], "domain": domain, "split": split})
    for name in PARAMETERS:
        table[f"{name}_true"] = labels[name].astype(float) if name in labels else np.nan
    parts = []
    for start in range(0, len(rows), _STAMPS):
        result = ensemble(stamps.images(rows[start : start + _STAMPS]))
        columns = {}
        for column, name in enumerate(PARAMETERS):
            columns[f"{name}_predicted"] = result.predicted[:, column]
            columns[f"{name}_spread"] = result.spread[:, column]
        features = feature_table(result.features)
        parts.append(pd.concat([pd.DataFrame(columns), features], axis=1))
    return pd.concat([table, *([pd.concat(parts, ignore_index=True)] if parts else [])], axis=1)


def _reference_domains(record: Record, reference: pd.DataFrame) -> tuple[str, ...]:
    """Domains that errors are taken from: those with enough labelled galaxies.

    Simulations need fewer of them, unless survey labels were trained on and suffice.
    """
    counts = {domain: len(labelled(reference, domain, PARAMETERS)) for domain in DOMAINS}
    enough = "survey" in record.labels_of and counts["survey"] >= ENOUGH
    needed = "survey" if enough else "simulated"
    if counts[needed] < _ENOUGH:
        raise DataError(
            f"package {record.name}: {counts[needed]} {needed} validation galaxies are too few to "
            f"measure errors with; {_ENOUGH} are needed"
        )
    return tuple(one for one in DOMAINS if one == needed or counts[one] >= ENOUGH)


def _quality(test: pd.DataFrame) -> tuple[Quality, ...]:
    """R², median and NMAD of the errors of both domains' test galaxies."""
    rows = []
    for domain in DOMAINS:
        table = labelled(test, domain, PARAMETERS)
        for name in PARAMETERS:
            everything = np.inf, (-np.inf, np.inf)
            metrics = quantity_metrics(QUANTITIES[name], *columns(table, name), *everything)
            known = {
                kind: round(metrics[kind], 5) if np.isfinite(metrics[kind]) else None
                for kind in ("r2", "bias", "scatter")
            }
            rows.append(Quality(domain=domain, parameter=name, n=len(table), **known))
    return tuple(rows)


def _coverage_rows(
    record: Record, reference: pd.DataFrame, domains: Sequence[str], test: pd.DataFrame
) -> list[dict[str, Any]]:
    """Coverage of both domains' test galaxies by the errors of the package."""
    intervals = WidestIntervals(reference, domains, PARAMETERS)
    # Bins of the predicted magnitude: the truth of a user's galaxy is not known.
    limits = record.training_ranges["magnitude"]
    edges = [-np.inf, *np.linspace(limits.low, limits.high, _BINS + 1)[1:-1], np.inf]
    bins = [(-np.inf, np.inf), *itertools.pairwise(edges)]
    rows = []
    for tested, level in itertools.product(DOMAINS, LEVELS):
        table = labelled(test, tested, PARAMETERS)
        predicted, truth, spread = arrays(table, PARAMETERS)
        errors = intervals.errors(predicted, spread, level)
        magnitude = predicted[:, PARAMETERS.index("magnitude")]
        for number, (bottom, top) in enumerate(bins):
            here = (magnitude >= bottom) & (magnitude < top)
            if here.sum() < (_PER_BIN if number else 1):
                continue
            shares = coverage(errors[here], predicted[here], truth[here]).tolist()
            row: dict[str, Any] = {
                "domain": tested,
                "level": level,
                "magnitude_low": None if np.isinf(bottom) else round(float(bottom), 2),
                "magnitude_high": None if np.isinf(top) else round(float(top), 2),
                "n": int(here.sum()),
            }
            for name, share in zip(PARAMETERS, shares, strict=True):
                row[name] = round(share, 4)
            rows.append(row)
    return rows
