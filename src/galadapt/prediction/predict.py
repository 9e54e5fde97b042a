"""`galadapt predict` as a function: from images or stamps to a catalogue of measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from galadapt import __version__
from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError
from galadapt.core.log import log
from galadapt.learners.keras import backend
from galadapt.prediction.catalogue import assemble, check_output, check_plot, write_catalogue
from galadapt.prediction.flags import Flag
from galadapt.prediction.package import Package
from galadapt.prediction.task import Inputs, check_overwriting, prepare


def predict(
    model: Path,
    inputs: Inputs,
    output: Path,
    level: float = 0.68,
    members: int | None = None,
    plot: Path | None = None,
    plot_count: int = 12,
    compute: Compute | None = None,
) -> pd.DataFrame:
    """Measure galaxies and write the catalogue.

    Args:
        model: Folder of a prediction package.
        inputs: What to measure.
        output: Catalogue to write (.fits, .csv, .parquet, .vot or .xml).
        level: Coverage of the errors, 0.05 to 0.95.
        members: Ask only so many of the package's networks; None: all.
        plot: PNG of image, model and residual of a sample.
        plot_count: Objects on it.
        compute: Backend, threads and GPUs; None: defaults.

    Returns:
        The catalogue: one row per object, in the order of its input.

    Raises:
        ConfigError: contradicting inputs, or an output that cannot be written.
        DataError: the package or an input is missing, broken or unfit.
    """
    if not 0.05 <= level <= 0.95:
        raise ConfigError(f"--level: must lie in 0.05 to 0.95, not {level:g}; correct it")
    check_output(output)
    if plot is not None:
        check_plot(plot)
        if plot_count < 1:
            raise ConfigError(f"--plot-count: must be at least 1, not {plot_count}; correct it")
    check_overwriting(inputs, [output, *([plot] if plot else [])])
    backend.prepare(compute or Compute())
    # Keras must not be imported before its backend is chosen.
    from galadapt.prediction.ensemble import Ensemble
    from galadapt.prediction.run import forget, input_digest, measure, reserved

    task = prepare(model, inputs)
    if members is not None and not 1 <= members <= len(task.package.record.members):
        raise ConfigError(
            f"--members: {members} of the package's {len(task.package.record.members)} networks; "
            "ask for 1 or more of them"
        )
    ensemble = Ensemble(task.package, members)
    parts = output.with_name(f".{output.name}.parts")
    settings = {
        "members": members,
        "fill": inputs.fill,
        "options": {name: str(value) for name, value in inputs.options.items()},
        "psf": task.psf.model_dump(mode="json"),
        "version": __version__,
    }
    about = {
        "GA_VERS": __version__,
        "GA_MODEL": task.package.record.name,
        "GA_DIGST": task.package.digest,
        "GA_LEVEL": f"{level:g}",
        "GA_MEMBR": str(members or len(task.package.record.members)),
        "GA_INPUT": ", ".join(name for name in dict.fromkeys(f.name for f in task.fields)),
        "GA_CATLG": inputs.catalog.name if inputs.catalog else "none",
        "GA_CATDG": input_digest(inputs.catalog)[:16] if inputs.catalog else "none",
        "GA_OPTNS": ", ".join(f"{key}={value}" for key, value in sorted(inputs.options.items())),
        "GA_REFER": f"errors from {task.package.record.reference_domain} galaxies",
        "GA_CITE": task.package.record.citation,
        "GA_LICNC": task.package.record.licence,
    }
    with reserved(parts):
        raw = measure(task.package, ensemble, task.fields, task.objects, parts, settings)
        table = assemble(task.package, task.objects, raw, level, int(task.common))
        write_catalogue(output, table, about)
        forget(parts)
    _summarise(task.package, table, raw, output)
    if plot is not None:
        from galadapt.prediction.residuals import draw_sample

        draw_sample(task, table, plot_count, plot)
    return table


def _summarise(package: Package, table: pd.DataFrame, raw: pd.DataFrame, output: Path) -> None:
    flags = table["flags"].to_numpy()
    measured = (flags & int(Flag.NO_STAMP)) == 0
    clean = int((flags == 0).sum())
    log.info(
        f"{output}: {len(table)} objects, {int(measured.sum())} measured, {clean} of them without "
        "any flag"
    )
    reasons = table.loc[~measured, "reason"].value_counts()
    if len(reasons):
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.head(6).items())
        log.info(f"{output}: not measured: {said}")
    if reasons.get("edge", 0):
        side, scale = package.record.stamp_size, package.record.pixel_scale
        log.info(
            f"{output}: edge: a stamp is {side} px of {scale:g} arcsec; images must reach "
            f"{side * scale / 2:.2f} arcsec to all sides of an object (cutouts: --fill frames them)"
        )
    raised = {
        flag.name.lower(): int(np.count_nonzero(flags[measured] & int(flag)))
        for flag in Flag
        if flag.name
    }
    if any(raised.values()):
        said = ", ".join(f"{count} {name}" for name, count in raised.items() if count)
        log.info(f"{output}: flags: {said}")
    if measured.any() and raised["noise_unlike"] > measured.sum() / 2:
        ratio = float(np.median(raw.loc[measured, "local_rms"])) / package.record.pixel_rms
        log.info(
            f"{output}: the images' noise is {ratio:.3g} times the training's once brought to its "
            "zero point: check --zero-point and the unit (counts labelled e-/s, say), or train at "
            "this depth"
        )
