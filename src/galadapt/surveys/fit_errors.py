"""Errors and flags of a catalogue of fits, after those published for CANDELS.

The laws below reproduce the medians of the flag-0 objects of the 3D-HST COSMOS F160W catalogue
(van der Wel et al. 2014), from 20 to 24 mag to about 20 per cent: S/N 374, 215, 109, 52 and errors
of .008, .013, .023, .049 mag at 20.5, 21.5, 22.5, 23.5 mag.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from galadapt.simulation.profiles import INDEX_BOUNDS
from galadapt.sky.catalogues import FLAG_BAD, FLAG_GOOD, FLAG_NO_FIT, FLAG_SUSPICIOUS

#: Correlation of the errors in (magnitude, ln re, ln n): an extended fit is brighter, larger and
#: steeper at once.
_CORRELATION = np.array([[1.0, -0.8, -0.6], [-0.8, 1.0, 0.6], [-0.6, 0.6, 1.0]])


def signal_to_noise(
    flux: np.ndarray,
    radius: np.ndarray,
    axis_ratio: np.ndarray,
    pixel_rms: np.ndarray,
    exposure_time: float,
) -> np.ndarray:
    """S/N of galaxies inside twice their half-light ellipse.

    Fluxes are in e-/s, radii semi-major [px]; `pixel_rms` is the noise of the sky at the galaxy.
    """
    area = np.pi * (2 * np.maximum(radius, 1.5)) ** 2 * axis_ratio
    # Correlated noise adds up faster than white noise: a factor of two over many pixels.
    variance = area * (2 * pixel_rms) ** 2 + 0.8 * flux / exposure_time
    return 0.8 * flux / np.sqrt(variance)


def quoted_errors(sn: np.ndarray, axis_ratio: np.ndarray) -> pd.DataFrame:
    """1-sigma errors a catalogue quotes at a signal-to-noise ratio.

    Returns:
        magnitude [mag], effective_radius and sersic_index (relative), axis_ratio, position_angle
        [deg].
    """
    roundness = np.maximum(1 - axis_ratio, 0.05)
    return pd.DataFrame(
        {
            "magnitude": np.hypot(2.5 / sn, 0.003),
            "effective_radius": np.hypot(3.1 / sn, 0.003),
            "sersic_index": np.hypot(7.5 / sn, 0.005),
            "axis_ratio": np.hypot(1.8 / sn, 0.002),
            "position_angle": np.minimum(np.degrees(np.hypot(1.2 / sn, 0.001) / roundness), 90.0),
        }
    )


def scattered(
    best: pd.DataFrame, sn: np.ndarray, scatter: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Catalogue rows of good fits: the best values, scattered by their quoted errors.

    The best values are magnitude, effective_radius [any unit], sersic_index, axis_ratio,
    position_angle [deg], (N,), without noise; `scatter` is in units of the quoted errors.

    Returns:
        The same columns, each with its ``_error``, and sn.
    """
    errors = quoted_errors(sn, best["axis_ratio"].to_numpy())
    joint = rng.standard_normal((len(best), 3)) @ np.linalg.cholesky(_CORRELATION).T * scatter
    single = rng.standard_normal((len(best), 2)) * scatter
    magnitude = best["magnitude"].to_numpy() + joint[:, 0] * errors["magnitude"]
    radius = best["effective_radius"].to_numpy() * np.exp(joint[:, 1] * errors["effective_radius"])
    index = best["sersic_index"].to_numpy() * np.exp(joint[:, 2] * errors["sersic_index"])
    index = np.clip(index, *INDEX_BOUNDS)
    ratio = best["axis_ratio"].to_numpy() + single[:, 0] * errors["axis_ratio"]
    # An axis ratio above one is the same ellipse with its axes exchanged.
    ratio = np.clip(np.where(ratio > 1, 2 - ratio, ratio), 0.05, 1.0)
    angle = best["position_angle"].to_numpy() + single[:, 1] * errors["position_angle"]
    rows = pd.DataFrame(
        {
            "magnitude": magnitude,
            "effective_radius": radius,
            "sersic_index": index,
            "axis_ratio": ratio,
            "position_angle": (angle + 90) % 180 - 90,
        }
    )
    errors[["effective_radius", "sersic_index"]] *= rows[["effective_radius", "sersic_index"]]
    return rows.join(errors.add_suffix("_error")).assign(sn=sn)


def flagged(
    rows: pd.DataFrame, crowding: np.ndarray, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Make some fits wrong, as for faint and crowded galaxies, and flag them.

    Suspicious fits (1) scatter by a tenth more in every value, bad fits (2) end at a bound of the
    index, and objects without a fit (3) lose all values when they are written. Rates are below
    those of the real catalogue (10-20 per cent bad), in which stars and artefacts are counted too.
    `crowding` is the light of neighbours at the galaxy over its own (N,).
    """
    faint = 1 / (1 + (rows["sn"].to_numpy() / 40) ** 2)
    crowded = np.clip(crowding, 0, 1)
    no_fit, bad_fit = 0.002 + 0.01 * faint, 0.02 + 0.05 * faint + 0.2 * crowded
    suspicious_fit = 0.03 + 0.08 * faint + 0.3 * crowded
    # Ordered from the worst, so that one draw decides between exclusive outcomes.
    steps = np.cumsum([no_fit, bad_fit, suspicious_fit], axis=0)
    outcome = np.array([FLAG_NO_FIT, FLAG_BAD, FLAG_SUSPICIOUS, FLAG_GOOD])
    flags = outcome[(rng.random(len(rows)) >= steps).sum(axis=0)]
    noise = rng.standard_normal((len(rows), 3)) * 0.1
    high = rng.random(len(rows)) < 0.6
    rows = rows.copy()
    suspicious, bad = flags == FLAG_SUSPICIOUS, flags == FLAG_BAD
    rows.loc[suspicious, "magnitude"] += noise[suspicious, 0]
    rows.loc[suspicious, "effective_radius"] *= np.exp(noise[suspicious, 1])
    rows.loc[suspicious, "sersic_index"] *= np.exp(noise[suspicious, 2])
    rows.loc[bad, "sersic_index"] = np.where(high, *reversed(INDEX_BOUNDS))[bad]
    rows.loc[bad, "effective_radius"] *= np.where(high, 3.0, 0.6)[bad]
    rows["sersic_index"] = rows["sersic_index"].clip(*INDEX_BOUNDS)
    return rows, flags
