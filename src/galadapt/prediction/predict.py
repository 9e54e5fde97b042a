"""`galadapt predict` as a function: from images or stamps to a catalogue of measurements."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits

from galadapt import __version__
from galadapt.core.errors import ConfigError
from galadapt.core.files import canonical_json, expand, split_extension
from galadapt.core.log import log
from galadapt.core.provenance import digest
from galadapt.prediction.any_image import AnyImagePackage, runner_of
from galadapt.prediction.arguments import Inputs, check_arguments
from galadapt.prediction.catalogue import (
    SUFFIXES,
    assemble,
    flag_notes,
    unwritable,
    write_catalogue,
)
from galadapt.prediction.checks import Checker
from galadapt.prediction.flags import Flag
from galadapt.prediction.inputs import Prepared, prepare
from galadapt.prediction.measure import input_digest, measure, reserved
from galadapt.prediction.package import Package
from galadapt.prediction.population import require_enough, reweighted
from galadapt.prediction.positions import displaced
from galadapt.prediction.psf_check import disagreeing
from galadapt.prediction.recalibration import read_recalibration
from galadapt.prediction.stamps import CutoutStamps, ImageStamps

#: Suffixes of a page.
_PAGES = (".html", ".htm")


def predict(
    model: Path,
    inputs: Inputs,
    output: Path,
    level: float = 0.68,
    members: int | None = None,
    plot: Path | None = None,
    plot_count: int = 12,
    report: Path | None = None,
    recalibration: Path | None = None,
    fast: bool = False,
    population: bool = False,
) -> pd.DataFrame:
    """Measure galaxies and write the catalogue.

    Args:
        model: Folder of a prediction package.
        inputs: What to measure.
        output: Catalogue to write (.fits, .csv, .parquet, .vot or .xml).
        level: Coverage of the errors, 0.05 to 0.95.
        members: Run only so many of the package's networks; None: all.
        plot: PNG of image, model and residual of a sample.
        plot_count: Objects on it.
        report: HTML page of the catalogue: table, pictures, distributions, what to distrust.
        recalibration: Factors of the errors, from `galadapt fit-check --recalibrate`.
        fast: Leave out the refinement by the pixels, of the package for any image.
        population: Re-weight radii and indices to the population that the catalogue itself shows;
            the package for any image only.

    Returns:
        The catalogue: one row per object, in the order of its input; in its ``attrs``, provenance
        and the meaning of the flags.

    Raises:
        ConfigError: contradicting inputs, or an output that cannot be written.
        DataError: the package or an input is missing, broken or unfit.
    """
    problems = []
    if not 0.05 <= level <= 0.95:
        problems.append(f"--level: must lie in 0.05 to 0.95, not {level:g}; correct it")
    if plot is not None and plot_count < 1:
        problems.append(f"--plot-count: must be at least 1, not {plot_count}; correct it")
    if members is not None and members < 1:
        problems.append(f"--members: must be at least 1, not {members}; correct it")
    outputs = {"output": (output, SUFFIXES), "plot": (plot, (".png",)), "report": (report, _PAGES)}
    for what, (path, suffixes) in outputs.items():
        if path is not None:
            problems += unwritable(path, suffixes, what)
    given = [path for path, _ in outputs.values() if path is not None]
    check_arguments(inputs, given, problems)
    prepared = prepare(model, inputs)
    package, objects = prepared.package, prepared.objects
    enlarged = None if recalibration is None else read_recalibration(recalibration, package.record)
    if population and not isinstance(package, AnyImagePackage):
        raise ConfigError(
            f"--population: the errors of {package.record.name} are not those of a likelihood; "
            "leave it out"
        )
    if population:
        require_enough(len(objects), "objects")
    runner = runner_of(package, members, fast)
    parts = output.with_name(f".{output.name}.parts")
    with reserved(parts):
        key = _resume_key(prepared, inputs, members, fast)
        doubts = disagreeing(prepared)
        if doubts:
            log.info(f"the objects of {', '.join(doubts)} get the flag psf_disagrees")
        checker = Checker(package.record, prepared.profile())
        raw = measure(package, runner, prepared.sources, objects, parts, key, checker)
        other = raw["image"].isin(list(doubts)).to_numpy()
        raw["flags"] = raw["flags"].to_numpy(np.int64) | other * int(Flag.PSF_DISAGREES)
        table = assemble(package, objects, raw, level, prepared.common, enlarged)
        if population:
            raw, said = reweighted(raw, table["flags"].to_numpy() == 0)
            log.info(f"{output}: {said}")
            table = assemble(package, objects, raw, level, prepared.common, enlarged)
        shifted = {}
        if inputs.images and inputs.catalog is not None:
            scales = raw["image_pixel_scale"].to_numpy(float)
            shifted = displaced(table, scales, "x" in objects)
        notes = _provenance(prepared, inputs, level, members) | flag_notes()
        notes["GA_PSFCH"] = "; ".join(doubts.values()) or "no disagreement found"
        notes["GA_POSCH"] = "; ".join(shifted.values()) or "no shift found"
        notes["GA_POPUL"] = said if population else "none"
        notes["GA_RECAL"] = recalibration.name if recalibration else "none"
        write_catalogue(output, table, notes)
        shutil.rmtree(parts, ignore_errors=True)
    _summarise(package, table, raw, output)
    if plot is not None:
        from galadapt.prediction.sheet import draw_sample

        draw_sample(prepared, table, raw, plot_count, plot)
    if report is not None:
        from galadapt.prediction.page import write_page

        write_page(prepared, table, raw, notes, report, [*doubts.values(), *shifted.values()])
    table.attrs.update(notes)
    return table


def _resume_key(prepared: Prepared, inputs: Inputs, members: int | None, fast: bool) -> str:
    """All that decides a measurement; a run with another key does not continue this one's parts.

    The errors' level is missing: errors are computed when the measurements are complete.
    """
    objects = pd.util.hash_pandas_object(prepared.objects, index=False)
    return canonical_json(
        {
            "version": __version__,
            "package": prepared.package.record.digest,
            "members": members,
            "fast": fast,
            "inputs": [[input_digest(path) for path in one.inputs] for one in prepared.sources],
            "options": {name: str(value) for name, value in inputs.options.items()},
            "fill": inputs.fill,
            "psf": [prepared.psf.model_dump(mode="json"), _psf_digest(prepared)],
            "objects": digest(objects.to_numpy()),
        }
    )


def _psf_digest(prepared: Prepared) -> str:
    """Identify the content of the PSF's file; "" where it has none."""
    path = getattr(prepared.psf, "path", None)
    return input_digest(expand(path)) if path else ""


def _psf_note(prepared: Prepared) -> str:
    """Kind and file of the PSF, and how it was made of stars."""
    path = getattr(prepared.psf, "path", None)
    if path is None:
        return prepared.psf.kind
    # `galadapt.prediction.psf_stars` writes both cards.
    header = fits.getheader(split_extension(expand(path))[0])
    made = f" ({header['METHOD']})" if {"NSTARS", "METHOD"} <= set(header) else ""
    return f"{prepared.psf.kind} {path}{made}"


def _provenance(
    prepared: Prepared, inputs: Inputs, level: float, members: int | None
) -> dict[str, Any]:
    """Header cards of the catalogue."""
    package, catalog = prepared.package, inputs.catalog
    return {
        "GA_VERS": __version__,
        "GA_MODEL": package.record.name,
        "GA_DIGST": package.record.digest,
        "GA_LEVEL": f"{level:g}",
        "GA_MEMBR": str(members or len(package.record.members)),
        "GA_INPUT": ", ".join(dict.fromkeys(source.name for source in prepared.sources)),
        "GA_CATLG": catalog.name if catalog else "none",
        "GA_CATDG": input_digest(catalog)[:16] if catalog else "none",
        "GA_PSF": _psf_note(prepared),
        "GA_PSFDG": _psf_digest(prepared)[:16] or "none",
        "GA_OPTNS": ", ".join(f"{key}={value}" for key, value in sorted(inputs.options.items())),
        "GA_REFER": f"errors from {' and '.join(package.record.reference_domains)} galaxies",
        "GA_CITE": package.record.citation,
        "GA_LICNC": package.record.licence,
        **{f"GA_NOT{number:02d}": text for number, text in enumerate(_assumed(prepared), start=1)},
    }


def _assumed(prepared: Prepared) -> list[str]:
    """What was assumed of the images, or of the first cutout, as their headers leave it open."""
    found: list[str] = []
    if (count := prepared.summed) > 1:
        found.append(f"{count} x {count} pixels are summed, as the PSF is wide")
    for source in prepared.sources:
        if isinstance(source, ImageStamps):
            found += source.remark.texts
        elif isinstance(source, CutoutStamps):
            found += source.assumed()
    return list(dict.fromkeys(found))[:99]


def _summarise(
    package: Package | AnyImagePackage, table: pd.DataFrame, raw: pd.DataFrame, output: Path
) -> None:
    flags = table["flags"].to_numpy()
    measured = (flags & int(Flag.NO_STAMP)) == 0
    log.info(
        f"{output}: {len(table)} objects, {int(measured.sum())} measured, "
        f"{int((flags == 0).sum())} of them without any flag"
    )
    reasons = table.loc[~measured, "reason"].value_counts()
    if len(reasons):
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.head(6).items())
        log.info(f"{output}: not measured: {listed}")
    if reasons.get("edge", 0):
        side, scale = package.record.stamp_size, package.record.pixel_scale
        log.info(
            f"{output}: edge: a stamp is {side} px of {scale:g} arcsec; images must reach "
            f"{side * scale / 2:.2f} arcsec to all sides of an object (cutouts: --fill frames them)"
        )
    counts = {flag: int(np.count_nonzero(flags[measured] & int(flag))) for flag in Flag}
    if any(counts.values()):
        listed = ", ".join(f"{count} {flag.label}" for flag, count in counts.items() if count)
        log.info(f"{output}: flags: {listed}")
    if measured.any() and counts[Flag.NOISE_UNLIKE] > measured.sum() / 2:
        ratio = float(np.median(raw.loc[measured, "local_rms"])) / package.record.pixel_rms
        log.info(
            f"{output}: the images' noise is {ratio:.3g} times the training's once brought to its "
            "zero point: check --zero-point and the unit (such as counts labelled e-/s), or train "
            "at this depth"
        )
