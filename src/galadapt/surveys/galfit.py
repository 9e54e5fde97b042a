"""Errors and flags of a GALFIT catalogue, after those published for CANDELS.

The laws below reproduce the medians of the flag-0 objects of the 3D-HST COSMOS F160W catalogue
(van der Wel et al. 2014), from 20 to 24 mag to about 20 per cent: S/N 374, 215, 109, 52 and dmag
.008, .013, .023, .049 at 20.5, 21.5, 22.5, 23.5 mag.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from galadapt.simulation.profiles import INDEX_BOUNDS
from galadapt.surveys.field import FLAG_BAD, FLAG_GOOD, FLAG_NO_FIT, FLAG_SUSPICIOUS, NO_FIT

#: Correlation of the errors in (magnitude, ln re, ln n): an extended fit is brighter, larger and
#: steeper at once.
_CORRELATION = np.array([[1.0, -0.8, -0.6], [-0.8, 1.0, 0.6], [-0.6, 0.6, 1.0]])

_FITTED = ("mag", "dmag", "re", "dre", "n", "dn", "q", "dq", "pa", "dpa")


def signal_to_noise(
    flux: np.ndarray,
    radius: np.ndarray,
    axis_ratio: np.ndarray,
    pixel_rms: np.ndarray,
    exposure_time: float,
) -> np.ndarray:
    """S/N of a galaxy inside twice its half-light ellipse.

    Args:
        flux: [e-/s].
        radius: Semi-major half-light radius [px].
        axis_ratio: b/a.
        pixel_rms: Sky rms per pixel at the galaxy [e-/s].
        exposure_time: [s].
    """
    area = np.pi * (2 * np.maximum(radius, 1.5)) ** 2 * axis_ratio
    # Correlated noise adds up faster than the pixel rms says: a factor of two over many pixels.
    variance = area * (2 * pixel_rms) ** 2 + 0.8 * flux / exposure_time
    return 0.8 * flux / np.sqrt(variance)


def quoted_errors(sn: np.ndarray, axis_ratio: np.ndarray) -> pd.DataFrame:
    """1-sigma errors a catalogue quotes at a signal-to-noise ratio.

    Returns:
        dmag [mag], dre (relative), dn (relative), dq, dpa [deg].
    """
    roundness = np.maximum(1 - axis_ratio, 0.05)
    return pd.DataFrame(
        {
            "dmag": np.hypot(2.5 / sn, 0.003),
            "dre": np.hypot(3.1 / sn, 0.003),
            "dn": np.hypot(7.5 / sn, 0.005),
            "dq": np.hypot(1.8 / sn, 0.002),
            "dpa": np.minimum(np.degrees(np.hypot(1.2 / sn, 0.001) / roundness), 90.0),
        }
    )


def scattered(
    best: pd.DataFrame, sn: np.ndarray, scatter: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Catalogue rows of good fits: the best values, scattered by their quoted errors.

    Args:
        best: mag, re [any unit], n, q, pa [deg] without noise, (N,).
        sn: Signal-to-noise ratio (N,).
        scatter: In units of the quoted errors.
        rng: Random numbers.

    Returns:
        mag, dmag, re, dre, n, dn, q, dq, pa, dpa and sn.
    """
    errors = quoted_errors(sn, best["q"].to_numpy())
    joint = rng.standard_normal((len(best), 3)) @ np.linalg.cholesky(_CORRELATION).T * scatter
    single = rng.standard_normal((len(best), 2)) * scatter
    mag = best["mag"].to_numpy() + joint[:, 0] * errors["dmag"]
    re = best["re"].to_numpy() * np.exp(joint[:, 1] * errors["dre"])
    n = np.clip(best["n"].to_numpy() * np.exp(joint[:, 2] * errors["dn"]), *INDEX_BOUNDS)
    q = best["q"].to_numpy() + single[:, 0] * errors["dq"]
    # An axis ratio above one is the same ellipse with its axes exchanged.
    q = np.clip(np.where(q > 1, 2 - q, q), 0.05, 1.0)
    pa = best["pa"].to_numpy() + single[:, 1] * errors["dpa"]
    return pd.DataFrame(
        {
            "mag": mag,
            "dmag": errors["dmag"],
            "re": re,
            "dre": re * errors["dre"],
            "n": n,
            "dn": n * errors["dn"],
            "q": q,
            "dq": errors["dq"],
            "pa": (pa + 90) % 180 - 90,
            "dpa": errors["dpa"],
            "sn": sn,
        }
    )


def flagged(
    rows: pd.DataFrame, crowding: np.ndarray, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Spoil some fits as faintness and neighbours do, and flag them.

    Suspicious fits (1) scatter by a tenth more in every value, bad fits (2) end at a bound of the
    index, and objects without a fit (3) hold -999. Rates are below those of the real catalogue
    (10-20 per cent bad), in which stars and artefacts are counted too.

    Args:
        rows: From `scattered`.
        crowding: Light of neighbours at the galaxy over its own, (N,).
        rng: Random numbers.

    Returns:
        The rows and their flags (N,).
    """
    faint = 1 / (1 + (rows["sn"].to_numpy() / 40) ** 2)
    crowded = np.clip(crowding, 0, 1)
    probability = np.stack(
        [
            0.03 + 0.08 * faint + 0.3 * crowded,
            0.02 + 0.05 * faint + 0.2 * crowded,
            0.002 + 0.01 * faint,
        ],
        axis=1,
    )
    draw = rng.random(len(rows))
    # Ordered from the worst, so that one draw decides between exclusive outcomes.
    steps = np.cumsum(probability[:, ::-1], axis=1)
    outcome = np.array([FLAG_NO_FIT, FLAG_BAD, FLAG_SUSPICIOUS, FLAG_GOOD])
    flags = outcome[(draw[:, None] >= steps).sum(axis=1)]
    noise = rng.standard_normal((len(rows), 3)) * 0.1
    high = rng.random(len(rows)) < 0.6
    rows = rows.copy()
    suspicious, bad, none = (flags == value for value in (1, 2, 3))
    rows.loc[suspicious, "mag"] += noise[suspicious, 0]
    rows.loc[suspicious, "re"] *= np.exp(noise[suspicious, 1])
    rows.loc[suspicious, "n"] *= np.exp(noise[suspicious, 2])
    rows.loc[bad, "n"] = np.where(high, *reversed(INDEX_BOUNDS))[bad]
    rows.loc[bad, "re"] *= np.where(high, 3.0, 0.6)[bad]
    rows["n"] = rows["n"].clip(*INDEX_BOUNDS)
    rows.loc[none, list(_FITTED)] = NO_FIT
    return rows, flags
