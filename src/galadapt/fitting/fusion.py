"""One answer of two: a network's, and that of the refinement, which started from it.

On clean galaxies the pixels know more than the network; where they hold what no Sersic profile
describes, they pull the fit, and the network is better. A small learner, trained on simulations
with both kinds of galaxies, decides for each quantity how far to follow the refinement, and how
large the error then is, from what can be seen of a galaxy: both answers, their errors, chi2,
brightness, masked pixels. Where the refinement failed, the network's answer stands.

With a gate 0 < g < 1, value = network + g (refined - network), and ln error = (1 - g) ln network's
+ g ln refined's + correction: g and the correction are outputs of one hidden layer. The errors are
those of Student's t (4 degrees of freedom), which forgives outliers, scaled to cover 68 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

#: Distance of the pixels' answer from the network's (chi2 per parameter) from which on they
#: disagree, where simulations have not shown it: one in a thousand independent answers'.
DISAGREE = 3.5

_FEATURES = 32  #: that `answers` lays out

_FREEDOM = 4.0  #: degrees of freedom of Student's t
_HIDDEN = 24
_RIDGE = 2e-3  #: penalty of squared weights
_STEPS = 400
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
    theta: np.ndarray,
    covariance: np.ndarray,
    ellipticity: np.ndarray,
    ellipticity_error: np.ndarray,
    found: Refined,
    noise: np.ndarray,
    valid: np.ndarray,
    width: np.ndarray,
) -> Answers:
    """Lay out what the learner is given.

    Args:
        theta: The network's parameters (n, 7).
        covariance: Theirs (n, 7, 7).
        ellipticity: The network's own ellipticity (n,).
        ellipticity_error: Its error (n,).
        found: The refinement, which started there.
        noise: Noise of a pixel (n,) [unit of the stamp].
        valid: Share of the stamp's pixels that count (n,).
        width: FWHM of the PSF (n,) [px]: its errors matter most to galaxies as small as it.
    """
    network = np.concatenate([theta, ellipticity[:, None]], axis=1)
    sigma = np.sqrt(np.einsum("nii->ni", covariance))
    network_error = np.concatenate([sigma, ellipticity_error[:, None]], axis=1)
    along = np.hypot(found.theta[:, 3], found.theta[:, 4])
    refined = np.concatenate([found.theta, along[:, None]], axis=1)
    variance = np.einsum("nii->ni", found.covariance)
    sigma = np.sqrt(np.maximum(variance, 0))
    unit = found.theta[:, 3:5] / np.maximum(along, 1e-6)[:, None]
    radial = np.einsum("ni,nij,nj->n", unit, found.covariance[:, 3:5, 3:5], unit)
    radial = np.where(along > 1e-6, np.sqrt(np.maximum(radial, 0)), sigma[:, 3])
    refined_error = np.concatenate([sigma, radial[:, None]], axis=1)
    good = found.converged & np.isfinite(refined).all(axis=1)
    good &= np.isfinite(refined_error).all(axis=1) & (variance > 0).all(axis=1)
    failed = ~good
    refined[failed], refined_error[failed] = network[failed], network_error[failed]
    network_error = np.maximum(network_error, 1e-6)
    refined_error = np.maximum(refined_error, 1e-6)
    chi2, misfit, tension = (
        np.where(good, np.nan_to_num(one, nan=1.0, posinf=1e6), 1.0)
        for one in (found.chi2, found.misfit, found.tension)
    )
    share = np.where(good, found.share, 0.0)
    features = np.column_stack(
        [
            np.log(network_error / refined_error),
            np.arcsinh((refined - network) / network_error),
            np.log(refined_error[:, [0, 1, 2, 7]]),
            theta[:, 0] - np.log(noise),
            theta[:, 1:3],
            theta[:, 1] - np.log(width),
            ellipticity,
            np.log(np.maximum(misfit, 1e-3)),
            np.log(np.maximum(chi2, 1e-3)),
            np.log1p(np.maximum(tension, 0)),
            np.log1p(share),
            1 - np.nan_to_num(found.seen),
            1 - valid,
            good.astype(float),
        ]
    )
    return Answers(network, network_error, refined, refined_error, features)


class Fused(NamedTuple):
    """The final answer for n galaxies."""

    theta: np.ndarray  #: (n, 7)
    covariance: np.ndarray  #: (n, 7, 7)
    ellipticity: np.ndarray  #: (n,)
    ellipticity_error: np.ndarray  #: (n,)
    gate: np.ndarray  #: (n, 8), how far the refinement was followed


@dataclass(frozen=True)
class Fusion:
    """The trained learner."""

    middle: np.ndarray  #: of the features (f,)
    spread: np.ndarray  #: theirs (f,)
    weights: tuple[np.ndarray, ...]  #: (f, h), (h,), (h, 16), (16,)
    factors: np.ndarray  #: (8,) that make errors cover 68 %
    #: Distance of both answers (chi2 per parameter) from which on they disagree.
    disagree: float = DISAGREE

    def __call__(self, given: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, errors and gates (n, 8)."""
        # One galaxy at a time: a product of many depends on how they are grouped.
        outputs = _outputs(self._scaled(given.features)[:, None], self.weights)[0][:, 0]
        value, log_error, gate = _combined(outputs, given)
        return value, np.exp(log_error) * self.factors, gate

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip((features - self.middle) / self.spread, -5, 5))

    def fuse(self, given: Answers, covariance: np.ndarray) -> Fused:
        """Fuse two answers; the correlations are those of `covariance` (n, 7, 7), the refined."""
        value, error, gate = self(given)
        sigma = np.sqrt(np.einsum("nii->ni", covariance))
        ratio = error[:, :PARAMETERS] / sigma
        ellipticity = np.clip(value[:, -1], 0.0, 0.99)
        return Fused(
            value[:, :PARAMETERS],
            covariance * ratio[:, :, None] * ratio[:, None, :],
            ellipticity,
            error[:, -1],
            gate,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {
            "middle": np.round(self.middle, 6).tolist(),
            "spread": np.round(self.spread, 6).tolist(),
            "weights": [np.round(one, 6).tolist() for one in self.weights],
            "factors": np.round(self.factors, 5).tolist(),
            "disagree": round(self.disagree, 3),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fusion:
        """Rebuild from `to_dict`; a DataError if values are missing or do not fit."""
        try:
            arrays = [np.array(values[name], float) for name in ("middle", "spread", "factors")]
            weights = tuple(np.array(one, float) for one in values["weights"])
            first, hidden, second, last = weights
            shapes = (_FEATURES, len(hidden)), (len(hidden), 2 * _COUNT)
            fits = (first.shape, second.shape) == shapes and last.shape == (2 * _COUNT,)
            fits &= all(one.shape == (_FEATURES,) for one in arrays[:2])
            disagree = float(values.get("disagree", DISAGREE))
            fits &= arrays[2].shape == (_COUNT,) and 0 < disagree < np.inf
            if not fits or not all(np.isfinite(one).all() for one in (*arrays, *weights)):
                raise ValueError("shapes or values that do not fit")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the package's fusion of network and fit is broken ({error}); make or fetch the "
                "package again"
            ) from None
        return cls(arrays[0], arrays[1], weights, arrays[2], disagree)


def train(given: Answers, truth: np.ndarray, seed: int = 0) -> Fusion:
    """Train the learner on galaxies whose truth (n, 8) is known.

    Galaxies of which either answer is not finite do not count.
    """
    usable = np.isfinite(truth).all(axis=1)
    for one in given:
        usable &= np.isfinite(one).all(axis=1)
    given, truth = Answers(*(one[usable] for one in given)), truth[usable]
    middle = given.features.mean(axis=0)
    spread = np.maximum(given.features.std(axis=0), 1e-3)
    features = np.clip((given.features - middle) / spread, -5, 5)
    rng = generator(seed, _PURPOSE)
    shapes = (features.shape[1], _HIDDEN), (_HIDDEN,), (_HIDDEN, 2 * _COUNT), (2 * _COUNT,)
    start = [
        rng.standard_normal(shapes[0]) / np.sqrt(shapes[0][0]),
        np.zeros(shapes[1]),
        0.1 * rng.standard_normal(shapes[2]) / np.sqrt(_HIDDEN),
        np.repeat([_START, 0.0], _COUNT),
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
    plain = Fusion(middle, spread, unpacked(best.x), np.ones(_COUNT))
    value, error, _ = plain(given)
    factors = np.quantile(np.abs(truth - value) / error, 0.6827, axis=0)
    return Fusion(middle, spread, plain.weights, factors)


def _outputs(
    features: np.ndarray, weights: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (..., 16), and the hidden layer (..., h)."""
    hidden = np.tanh(features @ weights[0] + weights[1])
    return hidden @ weights[2] + weights[3], hidden


def _combined(outputs: np.ndarray, given: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, logarithms of errors and gates, (n, 8) each."""
    gate = expit(outputs[:, :_COUNT])
    value = given.network + gate * (given.refined - given.network)
    log_error = (1 - gate) * np.log(given.network_error) + gate * np.log(given.refined_error)
    return value, log_error + np.clip(outputs[:, _COUNT:], -3, 3), gate


def _loss(
    features: np.ndarray, weights: tuple[np.ndarray, ...], given: Answers, truth: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    """Mean negative logarithm of Student's t, and its derivatives by the weights."""
    outputs, hidden = _outputs(features, weights)
    value, log_error, gate = _combined(outputs, given)
    scaled = (truth - value) * np.exp(-log_error)
    count = len(truth)
    total = log_error + (_FREEDOM + 1) / 2 * np.log1p(scaled**2 / _FREEDOM)
    pull = (_FREEDOM + 1) * scaled / (_FREEDOM + scaled**2)
    by_error = 1 - pull * scaled
    difference = np.log(given.refined_error) - np.log(given.network_error)
    by_gate = by_error * difference
    by_gate -= pull * np.exp(-log_error) * (given.refined - given.network)
    free = np.abs(outputs[:, _COUNT:]) < 3
    slope = np.concatenate([by_gate * gate * (1 - gate), by_error * free], axis=1) / count
    back = (slope @ weights[2].T) * (1 - hidden**2)
    slopes = [features.T @ back, back.sum(axis=0), hidden.T @ slope, slope.sum(axis=0)]
    return float(total.sum() / count), slopes
