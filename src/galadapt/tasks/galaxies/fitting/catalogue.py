"""Fit a profile to many labelled galaxies of a stamp set, to compare networks with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.image import Psf
from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.files import write_parquet
from galadapt.core.log import log
from galadapt.core.quantity import PARAMETERS
from galadapt.core.random import generator
from galadapt.simulation.psf import make_psf
from galadapt.stamps.format import StampSet
from galadapt.tasks.galaxies.fitting.sersic import fit_stamps

_SAMPLE = 0x0F18  #: purpose of the random numbers that choose the galaxies


def fit_galaxies(
    stamps: Path,
    psf: Psf,
    extraction: Extraction,
    exposure_time: float | None,
    galaxies: int,
    seed: int,
    output: Path,
) -> None:
    """Fit a single Sersic profile to labelled test galaxies of a survey.

    Known to the fit are the PSF of the simulations, the noise of the sky and of the galaxy, and
    masks on other sources; it starts twice, independently of the labels.

    Args:
        stamps: Stamp set of the survey, before any variant.
        exposure_time: Of the photon noise in the weights [s]; None: sky noise alone.
        galaxies: How many test galaxies, drawn at random; fewer if there are fewer.
        output: Parquet, one row per galaxy: id, ``<parameter>_true``, ``<parameter>_fitted`` (NaN
            where it failed), chi2 (reduced), failure (why; empty: none).

    Raises:
        DataError: the stamp set is broken, has no noise, or is that of a variant.
    """
    with StampSet(stamps) as source:
        metadata = source.metadata
        if "variant_steps" in metadata:
            raise DataError(f"{stamps}: a variant's stamps; give those before the variant to fit")
        table = source.table
        labels = table.reindex(columns=PARAMETERS)
        rows = np.flatnonzero((table["split"] == "test") & labels.notna().all(axis=1))
        chosen = np.sort(generator(seed, _SAMPLE).permutation(rows)[:galaxies])
        about = table.iloc[chosen].reset_index(drop=True)
        images = source.images(chosen).astype(np.float64)
    # Without offsets the galaxy is taken to be in the middle.
    offsets = about.reindex(columns=["x_offset", "y_offset"]).fillna(0.0).to_numpy(float)
    scale = float(metadata["pixel_scale"])
    found = fit_stamps(
        *(make_psf(psf, scale), scale, float(metadata["zero_point"]), images),
        *(_noise(about, metadata, stamps), offsets, extraction, exposure_time),
    )
    fits = pd.DataFrame({"id": about["id"]})
    for name in PARAMETERS:
        fits[f"{name}_true"] = about.get(name, np.nan)
        fits[f"{name}_fitted"] = found[name]
    fits[["chi2", "failure"]] = found[["chi2", "failure"]]
    write_parquet(output, fits)
    log.info(f"profile fits: {len(fits)} galaxies, {int((fits['failure'] != '').sum())} failed")


def _noise(table: pd.DataFrame, metadata: dict[str, Any], stamps: Path) -> np.ndarray:
    """Sky noise of a pixel for each stamp."""
    if "local_rms" in table:
        return table["local_rms"].to_numpy(float)
    given = metadata.get("pixel_rms")
    if not given:
        raise DataError(f"{stamps}: has no noise (pixel_rms), which a fit needs; extract again")
    return np.full(len(table), float(given))
