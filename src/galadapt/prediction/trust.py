"""Which measurements are in doubt: predictions judged by the checks of their pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import gammaincc, gammaincinv

from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.prediction.checks import OFFSETS
from galadapt.prediction.flags import POOR_CHI2, Flag
from galadapt.prediction.package import Record

#: Distances from the pixels [errors] beyond which a prediction is flagged, and within which the
#: pixels confirm one that nothing else vouches for.
_DISAGREES, _CONFIRMS = 3.0, 2.0

#: Magnitudes between the light of the pixels and of the model that are always, and never, flagged.
_MOST_MAGNITUDES, _LEAST_MAGNITUDES = 0.25, 0.05

#: Difference of the noise's correlation from the training's: stamps scatter by 0.03.
_CORRELATION = 0.15

#: Magnitudes by which a prediction may be brighter than the detected pixels: half of its light.
_UNDETECTED = 0.75

#: Share of the light beyond the frame that counts.
_CUT = 0.03

#: Share of the training range by which a prediction may lie outside: scatter at its edges.
_MARGIN = 0.01

#: Noise may differ by this factor from the training's.
_NOISE_FACTOR = 3.0

#: Pixels confirm a value only if they know it about as well as the networks, by this factor.
_KNOWN = 2.0


_MAGNITUDE = PARAMETERS.index("magnitude")


class Doubts(NamedTuple):
    """What is held against n measurements."""

    flags: np.ndarray  #: bits of `Flag` (n,)
    outside: np.ndarray  #: whether no error can be given (n,)
    tension: np.ndarray  #: largest distance of the pixels from a prediction [errors]; NaN unknown
    light_beyond: np.ndarray  #: share of the model's light beyond the edge of the image
    unconfirmed: np.ndarray  #: which quantities are near which limits, in words; "" none (n,)


def doubts(record: Record, raw: pd.DataFrame, predicted: np.ndarray, errors: np.ndarray) -> Doubts:
    """Judge measurements.

    Args:
        record: Of the package.
        raw: See `galadapt.prediction.measure.measure`.
        predicted: Predictions (n, p); NaN where there is none.
        errors: Their 68 % errors (n, p).
    """
    measured = np.isfinite(predicted).all(axis=1)
    noise = _column(raw, "local_rms") / record.pixel_rms
    ranged = predicted.copy()
    if record.noise_is_input:
        # Ranges are those of the images' typical noise; the limits of others move with theirs.
        ranged[:, _MAGNITUDE] += 2.5 * np.log10(noise)
        noise = np.ones(len(raw))
    outside = measured & _outside(record, ranged)
    offsets = np.stack([_column(raw, name) for name in OFFSETS], axis=1)
    offsets = offsets.reshape(len(raw), len(PARAMETERS), 2)
    apart = np.abs(offsets[..., 0]) / np.hypot(errors, offsets[..., 1])
    tension = np.fmax.reduce(np.where(np.isfinite(apart), apart, np.nan), axis=1)
    beyond = _light_beyond(raw, predicted)
    ratio = _column(raw, "flux_ratio")
    # No light at all where a galaxy is predicted is the largest disagreement.
    light = np.where(ratio <= 0, np.inf, np.abs(2.5 * np.log10(np.where(ratio > 0, ratio, np.nan))))
    known = np.hypot(errors[:, _MAGNITUDE], 1.09 * _column(raw, "flux_ratio_err"))
    limit = np.clip(_DISAGREES * known, _LEAST_MAGNITUDES, _MOST_MAGNITUDES)
    known_well = (offsets[..., 1] < _KNOWN * errors) & (apart < _CONFIRMS)
    limits = _near_limits(record, ranged, errors, offsets, known_well)
    usual = np.nan if record.noise_correlation is None else record.noise_correlation
    otherwise = np.abs(_column(raw, "noise_correlation") - usual) > _CORRELATION
    correlated = otherwise & ~known_well.all(axis=1)
    magnitude, faintest = predicted[:, _MAGNITUDE], record.claimed_ranges["magnitude"].high
    undetected = _column(raw, "segment_magnitude") - magnitude > _UNDETECTED
    faint = ranged[:, _MAGNITUDE] > faintest
    confirmed = (apart[:, _MAGNITUDE] < _CONFIRMS) & (light < np.maximum(_CONFIRMS * known, 0.05))
    # The limit is that of the noise at the object.
    limit_here = faintest + magnitude - ranged[:, _MAGNITUDE]
    for row in np.flatnonzero(faint & ~confirmed):
        limits[row] = [f"magnitude fainter than {limit_here[row]:.1f}", *limits[row]]
    doubtful = np.array([bool(one) for one in limits], bool) & measured & ~outside
    flags = np.zeros(len(raw), np.int64)
    for flag, rows in (
        (Flag.OUT_OF_RANGE, outside),
        (Flag.UNLIKE_TRAINING, _column(raw, "unlike") > 1),
        (Flag.NOISE_UNLIKE, ~((noise > 1 / _NOISE_FACTOR) & (noise < _NOISE_FACTOR))),
        (Flag.FLUX_DISAGREES, light > limit),
        (Flag.PIXELS_DISAGREE, tension > _DISAGREES),
        (Flag.POOR_MODEL, _column(raw, "chi2") > POOR_CHI2),
        (Flag.NOISE_CORRELATION, correlated),
        (Flag.CUT, beyond > _CUT),
        (Flag.UNCONFIRMED, doubtful),
        (Flag.UNDETECTED_LIGHT, undetected),
    ):
        flags |= np.where(measured & rows, int(flag), 0)
    words = np.array(
        [", ".join(one) if flagged else "" for one, flagged in zip(limits, doubtful, strict=True)],
        object,
    )
    return Doubts(flags, outside, tension, beyond, words)


def _outside(record: Record, predicted: np.ndarray) -> np.ndarray:
    """Rows with a prediction beyond the training's range."""
    found = np.zeros(len(predicted), bool)
    for name, values in zip(PARAMETERS, predicted.T, strict=True):
        interval = record.training_ranges[name]
        margin = _MARGIN * (interval.high - interval.low)
        found |= ~((values >= interval.low - margin) & (values <= interval.high + margin))
    return found


def _near_limits(
    record: Record,
    predicted: np.ndarray,
    errors: np.ndarray,
    offsets: np.ndarray,
    known_well: np.ndarray,
) -> list[list[str]]:
    """Name the quantities within an error of a limit of the training, and the limit, row by row.

    Left out are those that the pixels confirm. Networks give what lies beyond a limit a value just
    inside it.
    """
    found: list[list[str]] = [[] for _ in predicted]
    for column, name in enumerate(PARAMETERS):
        interval = record.training_ranges[name]
        values, error = predicted[:, column], errors[:, column]
        above = values + error > interval.high
        below = np.zeros(len(values), bool)
        # A round galaxy has no lower ellipticity: zero is no limit of the training.
        if QUANTITIES[name].bounds[0] < interval.low - 0.1 or name != "ellipticity":
            below = values - error < interval.low
        seen = values + offsets[:, column, 0]
        inside = (seen > interval.low) & (seen < interval.high)
        doubtful = (above | below) & ~(inside & known_well[:, column])
        scale = record.pixel_scale if name == "effective_radius" else 1.0
        unit = " arcsec" if name == "effective_radius" else ""
        for row in np.flatnonzero(doubtful):
            limit = interval.high if above[row] else interval.low
            found[row].append(f"{name} near its limit {scale * limit:.3g}{unit}")
    return found


def _light_beyond(raw: pd.DataFrame, predicted: np.ndarray) -> np.ndarray:
    """Share of the predicted profiles' light beyond the edge of their images; 0 where unknown.

    Of a circle that has the area of the largest square around the object (Graham & Driver 2005,
    eq. 2).
    """
    _, radius, index, ellipticity = predicted.T
    index = np.clip(index, 0.2, 10.0)
    seen = _column(raw, "room") * 2 / np.sqrt(np.pi)
    scaled = seen / (np.maximum(radius, 0.1) * np.sqrt(np.clip(1 - ellipticity, 0.01, 1.0)))
    with np.errstate(invalid="ignore"):
        share = gammaincc(2 * index, gammaincinv(2 * index, 0.5) * scaled ** (1 / index))
    return np.nan_to_num(share, nan=0.0)


def _column(raw: pd.DataFrame, name: str) -> np.ndarray:
    """A column of floats; NaN where it is missing."""
    if name in raw:
        return raw[name].to_numpy(float)
    return np.full(len(raw), np.nan)
