"""One answer of two: a network's, and that of the refinement, which started from it.

On clean galaxies the pixels know more than the network; where they hold what no Sersic profile
describes, they pull the fit, and the network is better. A small learner, trained on simulations
with both kinds of galaxies, decides for each quantity how far to follow the refinement, and how
large the error then is, from what can be seen of a galaxy: both answers, their errors, chi2,
brightness, masked pixels. Where the refinement failed, the network's answer stands.

With a gate 0 < g < 1, value = network + g (refined - network) + shift, and ln error = (1 - g) ln
network's + g ln refined's + correction: the gate, the correction and the shift, at most half an
error, are outputs of one hidden layer, trained with Student's t (4 degrees of freedom), which
forgives outliers. On galaxies that it has not seen, `calibrated` then measures by which factors the
errors cover 68 and 95 %, as smooth functions of brightness, size, index, gate and misfit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from galadapt.core.errors import DataError
from galadapt.core.random import generator
from galadapt.fitting.profiles import NAMES, PARAMETERS
from galadapt.fitting.refine import Refined

#: What is fused: the parameters, and the ellipticity by itself: the length of (e1, e2) is biased by
#: noise.
QUANTITIES = (*NAMES, "ellipticity")
_COUNT = len(QUANTITIES)
_OUTPUTS = 3 * _COUNT  #: of the learner: gates, corrections of the errors, shifts

#: Distance of the pixels' answer from the network's (chi2 per parameter) from which on they
#: disagree, where simulations have not shown it: one in a thousand independent answers'.
DISAGREE = 3.5

_FEATURES = 33  #: that `answers` lays out

_FREEDOM = 4.0  #: degrees of freedom of Student's t
_HIDDEN = 48
_RIDGE = 5e-4  #: penalty of squared weights
_STEPS = 500
_SHIFT = 0.5  #: largest shift of a value, in errors
_START = 2.0  #: logit of the gates before training: follow the pixels
_PURPOSE = 0xF5E0  #: of the random weights it starts from


class Answers(NamedTuple):
    """Both answers for n galaxies, and what is known of them."""

    network: np.ndarray  #: (n, 8), see `QUANTITIES`
    network_error: np.ndarray  #: (n, 8)
    refined: np.ndarray  #: (n, 8), the network's where the refinement failed
    refined_error: np.ndarray  #: (n, 8)
    features: np.ndarray  #: (n, f)


def answers(
    network: np.ndarray,
    network_error: np.ndarray,
    found: Refined,
    noise: np.ndarray,
    valid: np.ndarray,
    width: np.ndarray,
) -> Answers:
    """Lay out what the learner is given.

    Args:
        network: The network's `QUANTITIES` (n, 8), its own ellipticity the last.
        network_error: Their errors (n, 8).
        found: The refinement, which started there.
        noise: Noise of a pixel (n,) [unit of the stamp].
        valid: Share of the stamp's pixels that count (n,).
        width: FWHM of the PSF (n,) [px]: its errors matter most to galaxies as small as it.
    """
    along = np.hypot(found.theta[:, 3], found.theta[:, 4])
    refined = np.column_stack([found.theta, along])
    variance = np.einsum("nii->ni", found.covariance)
    sigma = np.sqrt(np.maximum(variance, 0))
    unit = found.theta[:, 3:5] / np.maximum(along, 1e-6)[:, None]
    radial = variance_along(found.covariance[:, 3:5, 3:5], unit)
    radial = np.where(along > 1e-6, np.sqrt(np.maximum(radial, 0)), sigma[:, 3])
    refined_error = np.column_stack([sigma, radial])
    good = found.converged & np.isfinite(refined).all(axis=1)
    good &= np.isfinite(refined_error).all(axis=1) & (variance > 0).all(axis=1)
    failed = ~good
    refined[failed], refined_error[failed] = network[failed], network_error[failed]
    network_error = np.maximum(network_error, 1e-6)
    refined_error = np.maximum(refined_error, 1e-6)
    chi2, misfit, tension, coherence = (
        np.where(good, np.nan_to_num(one, nan=1.0, posinf=1e6), 1.0)
        for one in (found.chi2, found.misfit, found.tension, found.coherence)
    )
    share = np.where(good, found.share, 0.0)
    features = np.column_stack(
        [
            np.log(network_error / refined_error),
            np.arcsinh((refined - network) / network_error),
            np.log(refined_error[:, [0, 1, 2, 7]]),
            network[:, 0] - np.log(noise),
            network[:, 1:3],
            network[:, 1] - np.log(width),
            network[:, -1],
            np.log(np.maximum(misfit, 1e-3)),
            np.log(np.maximum(chi2, 1e-3)),
            np.log1p(np.maximum(tension, 0)),
            np.log1p(share),
            1 - np.nan_to_num(found.seen),
            1 - valid,
            np.arcsinh(coherence),
            good.astype(float),
        ]
    )
    return Answers(network, network_error, refined, refined_error, features)


def variance_along(covariance: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Variance (n,) along directions (n, 2) of covariances (n, 2, 2).

    Written out: the last digit of a sum by einsum depends on how many galaxies there are.
    """
    a, b = unit.T
    return np.asarray(
        a**2 * covariance[:, 0, 0] + 2 * a * b * covariance[:, 0, 1] + b**2 * covariance[:, 1, 1]
    )


#: Columns of the features that calibration uses: brightness [ln flux over noise]; then index, size
#: over PSF, ellipticity, misfit, the share of masked pixels, and the coherence of the residuals.
_BRIGHTNESS, _USED = 20, (22, 23, 24, 25, 30, 31)

#: Levels at which errors are calibrated, and their half-widths of a normal law.
LEVELS, _WIDTHS = (0.6827, 0.95), (1.0, 1.96)

_KNOTS = 7  #: of the brightness: quantiles of the galaxies'
_SOFT = 0.05  #: width over which the loss of a quantile is rounded, in its logarithm
_TAILS = (0.3, 3.0)  #: limits of the tails


class Fused(NamedTuple):
    """The final answer for n galaxies."""

    theta: np.ndarray  #: (n, 7)
    covariance: np.ndarray  #: (n, 7, 7)
    ellipticity: np.ndarray  #: (n,)
    ellipticity_error: np.ndarray  #: (n,)
    gate: np.ndarray  #: (n, 8), how far the refinement was followed
    #: (n, 8): where z > 1 the half-width is sigma z^tail, not z sigma; above 1 tails are heavy.
    tail: np.ndarray


@dataclass(frozen=True)
class Fusion:
    """The trained learner."""

    middle: np.ndarray  #: of the features (f,)
    spread: np.ndarray  #: theirs (f,)
    weights: tuple[np.ndarray, ...]  #: (f, h), (h,), (h, 24), (24,)
    knots: np.ndarray  #: of the brightness (k,)
    coverage: np.ndarray  #: Coefficients of ln half-width over error, at both levels (2, 8, c).
    #: Distance of both answers (chi2 per parameter) from which on they disagree.
    disagree: float = DISAGREE

    def __call__(self, given: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Values, errors, gates and tails (n, 8)."""
        value, log_error, gate, scaled = self._plain(given)
        terms = _terms(given.features[:, _BRIGHTNESS], scaled, gate, self.knots)
        narrow, wide = ((terms * one).sum(axis=2) for one in self.coverage)
        tail = np.clip((wide - narrow) / np.log(_WIDTHS[1]), *_TAILS)
        return value, np.exp(log_error + narrow), gate, tail

    def _plain(self, given: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Values, logarithms of errors before calibration, gates (n, 8); scaled features (n, f)."""
        scaled = np.clip((given.features - self.middle) / self.spread, -5, 5)
        # One galaxy at a time: a product of many depends on how they are grouped.
        outputs = _outputs(scaled[:, None], self.weights)[0][:, 0]
        return *_combined(outputs, given), scaled

    def calibrated(self, given: Answers, truth: np.ndarray) -> Fusion:
        """Calibrate the errors on galaxies whose truth (n, 8) is known, and was not trained on."""
        usable = _finite(given, truth)
        given, truth = Answers(*(one[usable] for one in given)), truth[usable]
        value, log_error, gate, scaled = self._plain(given)
        brightness = given.features[:, _BRIGHTNESS]
        knots = np.unique(np.quantile(brightness, np.linspace(0.02, 0.98, _KNOTS)))
        terms = _terms(brightness, scaled, gate, knots)
        size = np.log(np.maximum(np.abs(truth - value), 1e-12)) - log_error
        coverage = [
            [_quantile(terms[:, k], size[:, k], level) for k in range(_COUNT)] for level in LEVELS
        ]
        return replace(self, knots=knots, coverage=np.array(coverage))

    def fuse(self, given: Answers, covariance: np.ndarray) -> Fused:
        """Fuse two answers; the correlations are those of `covariance` (n, 7, 7), the refined."""
        value, error, gate, tail = self(given)
        sigma = np.sqrt(np.einsum("nii->ni", covariance))
        ratio = error[:, :PARAMETERS] / sigma
        ellipticity = np.clip(value[:, -1], 0.0, 0.99)
        return Fused(
            value[:, :PARAMETERS],
            covariance * ratio[:, :, None] * ratio[:, None, :],
            ellipticity,
            error[:, -1],
            gate,
            tail,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {
            "middle": np.round(self.middle, 6).tolist(),
            "spread": np.round(self.spread, 6).tolist(),
            "weights": [np.round(one, 6).tolist() for one in self.weights],
            "knots": np.round(self.knots, 5).tolist(),
            "coverage": np.round(self.coverage, 5).tolist(),
            "disagree": round(self.disagree, 3),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fusion:
        """Rebuild from `to_dict`; a DataError if values are missing or do not fit."""
        try:
            names = ("middle", "spread", "knots", "coverage")
            middle, spread, knots, coverage = (np.array(values[name], float) for name in names)
            weights = tuple(np.array(one, float) for one in values["weights"])
            _, hidden, *_ = weights
            arrays = (middle, spread, *weights, coverage)
            fits = [one.shape for one in arrays] == [
                *((_FEATURES,), (_FEATURES,)),
                *((_FEATURES, len(hidden)), (len(hidden),), (len(hidden), _OUTPUTS), (_OUTPUTS,)),
                (len(LEVELS), _COUNT, len(knots) + _FURTHER),
            ]
            disagree = float(values.get("disagree", DISAGREE))
            fits &= 0 < disagree < np.inf
            if not fits or not all(np.isfinite(one).all() for one in (*arrays, knots)):
                raise ValueError("shapes or values that do not fit")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the package's fusion of network and fit is broken ({error}); make or fetch the "
                "package again"
            ) from None
        return cls(middle, spread, weights, knots, coverage, disagree)


def train(given: Answers, truth: np.ndarray, seed: int = 0) -> Fusion:
    """Train the learner on galaxies whose truth (n, 8) is known.

    Galaxies of which either answer is not finite do not count. Errors are calibrated on the same
    galaxies: use `Fusion.calibrated` with others.
    """
    usable = _finite(given, truth)
    given, truth = Answers(*(one[usable] for one in given)), truth[usable]
    middle = given.features.mean(axis=0)
    spread = np.maximum(given.features.std(axis=0), 1e-3)
    features = np.clip((given.features - middle) / spread, -5, 5)
    rng = generator(seed, _PURPOSE)
    shapes = (features.shape[1], _HIDDEN), (_HIDDEN,), (_HIDDEN, _OUTPUTS), (_OUTPUTS,)
    start = [
        rng.standard_normal(shapes[0]) / np.sqrt(shapes[0][0]),
        np.zeros(shapes[1]),
        0.1 * rng.standard_normal(shapes[2]) / np.sqrt(_HIDDEN),
        np.repeat([_START, 0.0, 0.0], _COUNT),
    ]
    sizes = np.cumsum([one.size for one in start])[:-1]

    def unpacked(flat: np.ndarray) -> tuple[np.ndarray, ...]:
        parts = np.split(flat, sizes)
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = unpacked(flat)
        value, slopes = _loss(features, weights, given, truth)
        penalty = _RIDGE * ((weights[0] ** 2).sum() + (weights[2] ** 2).sum())
        slopes[0] += 2 * _RIDGE * weights[0]
        slopes[2] += 2 * _RIDGE * weights[2]
        return value + penalty, np.concatenate([one.ravel() for one in slopes])

    flat = np.concatenate([one.ravel() for one in start])
    best = minimize(loss, flat, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    weights, none = unpacked(best.x), np.zeros(0)
    return Fusion(middle, spread, weights, none, none).calibrated(given, truth)


def _finite(given: Answers, truth: np.ndarray) -> np.ndarray:
    """Galaxies (n,) of which everything is known."""
    usable = np.isfinite(truth).all(axis=1)
    for one in given:
        usable &= np.isfinite(one).all(axis=1)
    return np.asarray(usable)


_FURTHER = 2 * len(_USED) + 2  #: terms beside those of the brightness


def _terms(
    brightness: np.ndarray, scaled: np.ndarray, gate: np.ndarray, knots: np.ndarray
) -> np.ndarray:
    """What the logarithms of errors are linear in, (n, 8, c).

    Straight lines between knots of the brightness; scaled features, gates and their squares.
    """
    lines = np.stack([np.interp(brightness, knots, one) for one in np.eye(len(knots))], axis=1)
    used = np.clip(scaled[:, list(_USED)], -2.5, 2.5)
    common = np.concatenate([lines, used, used**2 - 1], axis=1)
    common = np.repeat(common[:, None], _COUNT, axis=1)
    return np.concatenate([common, gate[..., None] - 0.5, (gate[..., None] - 0.5) ** 2], axis=2)


def _quantile(terms: np.ndarray, values: np.ndarray, level: float) -> np.ndarray:
    """Coefficients (c,) of a quantile of values (n,) that is linear in terms (n, c)."""

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        left = values - terms @ coefficients
        below = expit(-left / _SOFT)
        value = level * left + _SOFT * np.logaddexp(0, -left / _SOFT)
        slope = -terms.T @ (level - below) / len(values)
        return value.mean() + 1e-4 * coefficients @ coefficients, slope + 2e-4 * coefficients

    start = np.zeros(terms.shape[1])
    start[: len(start) - _FURTHER] = np.quantile(values, level)
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def _outputs(
    features: np.ndarray, weights: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (..., 24), and the hidden layer (..., h)."""
    hidden = np.tanh(features @ weights[0] + weights[1])
    return hidden @ weights[2] + weights[3], hidden


def _combined(outputs: np.ndarray, given: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, logarithms of errors and gates, (n, 8) each."""
    gates, corrections, shifts = np.split(outputs, 3, axis=1)
    gate = expit(gates)
    log_error = (1 - gate) * np.log(given.network_error) + gate * np.log(given.refined_error)
    value = given.network + gate * (given.refined - given.network)
    value += _allowed(given) * np.tanh(shifts) * np.exp(log_error)
    return value, log_error + np.clip(corrections, -3, 3), gate


def _allowed(given: Answers) -> np.ndarray:
    """Largest shift (n, 1) in errors: none where the refinement failed."""
    return np.asarray(_SHIFT * given.features[:, -1:])


def _loss(
    features: np.ndarray, weights: tuple[np.ndarray, ...], given: Answers, truth: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    """Mean negative logarithm of Student's t, and its derivatives by the weights."""
    outputs, hidden = _outputs(features, weights)
    value, log_error, gate = _combined(outputs, given)
    _, corrections, shifts = np.split(outputs, 3, axis=1)
    scaled = (truth - value) * np.exp(-log_error)
    count = len(truth)
    total = log_error + (_FREEDOM + 1) / 2 * np.log1p(scaled**2 / _FREEDOM)
    pull = (_FREEDOM + 1) * scaled / (_FREEDOM + scaled**2)
    by_error, by_value = 1 - pull * scaled, -pull * np.exp(-log_error)
    unit = np.exp(log_error - np.clip(corrections, -3, 3))
    difference = np.log(given.refined_error) - np.log(given.network_error)
    most = _allowed(given)
    away = given.refined - given.network + most * np.tanh(shifts) * unit * difference
    by_gate = (by_error * difference + by_value * away) * gate * (1 - gate)
    by_shift = by_value * most * unit / np.cosh(shifts) ** 2
    slope = np.concatenate([by_gate, by_error * (np.abs(corrections) < 3), by_shift], axis=1)
    slope /= count
    back = (slope @ weights[2].T) * (1 - hidden**2)
    slopes = [features.T @ back, back.sum(axis=0), hidden.T @ slope, slope.sum(axis=0)]
    return float(total.sum() / count), slopes
