"""The smallest errors that any method can reach on the clean stamps, and galadapt's beside them.

Stamps, their PSF and noise, and the ranges that the galaxies are drawn from (uniform in magnitude,
radius, index, ellipticity, position angle and both offsets) are all known, so the posterior is too.
Its mean has the smallest mean squared error, hence the largest R² to be expected, of all estimates;
its median has the smallest mean absolute error. Both are computed by importance sampling with the
renderer that drew the stamps, and with the PSF itself, of which the methods have an image of finite
size. Proposals begin at the maximum of the posterior, found from galadapt's answer, and are adapted
to its shape (West 1993).

Printed checks: effective sample sizes; ranks of the truth within the posterior, which are uniform
if the posterior is right (Cook et al. 2006); R² of the mean and that which the variances predict.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import options
import pandas as pd
from conditions import SIDE, make
from running import measure
from scipy.linalg import toeplitz
from scipy.optimize import least_squares
from scipy.special import expit, gammaln, logsumexp
from scipy.stats import kstest
from tables import REFERENCE, printed, rows

from galadapt.answers.numbers.metrics import r2, r2_interval
from galadapt.config.simulation import Simulation
from galadapt.core.errors import ConfigError
from galadapt.core.files import write_csv
from galadapt.core.log import progress
from galadapt.core.quantity import PARAMETERS
from galadapt.core.random import generator
from galadapt.simulation.noise import kernel, resolve
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.tasks.galaxies.settings import Config

MEAN, MEDIAN = "posterior mean", "posterior median"

#: Parameters with uniform priors between two limits; ellipticity and position angle come after.
BOXED = ("magnitude", "effective_radius", "sersic_index", "x_offset", "y_offset")
COUNT = len(BOXED) + 2

#: Draws of a round, effective sample size that is enough, and rounds at most. With 200 and 120, and
#: a first proposal of half the width, posteriors of faint galaxies came out too narrow.
DRAWS, ENOUGH, ROUNDS = 400, 600, 10

#: Width of the first proposal over that of the normal law at the maximum.
WIDTH = 2.6

#: Kernels of a proposal; degrees of freedom of their Student's t; effective sample size that a
#: tempered posterior keeps while the proposal is still poor.
KERNELS, FREEDOM, TEMPERED = 100, 5.0, 60

#: Position angles to begin with [deg]: galadapt's answers here have none.
ANGLES = (0.0, 45.0, 90.0, 135.0)

STEP = 1e-3  #: of numerical derivatives in unbounded coordinates, whose priors are about 2 wide

PURPOSE = 0x11417  #: of the random draws

BOOTSTRAPS = 2000


class Prior:
    """What the galaxies are drawn from, in unbounded coordinates (n, 7).

    Each of `BOXED` becomes the logit of its place between the limits. Ellipticity e and position
    angle become a vector of length sqrt(t / (1 - t)), t = e / e_max, and direction 2 PA: a smooth
    density, that of a bivariate Student's t, where (e1, e2) has a cusp at e = 0.
    """

    def __init__(self, limits: dict[str, tuple[float, float]], max_offset: float) -> None:
        """Prepare; `limits` are those of the parameters, offsets reach `max_offset` [px].

        Raises:
            ConfigError: ellipticities do not begin at 0.
        """
        offsets = dict.fromkeys(("x_offset", "y_offset"), (-max_offset, max_offset))
        self._low, self._high = np.array([{**limits, **offsets}[name] for name in BOXED]).T
        roundest, self._flattest = limits["ellipticity"]
        if roundest != 0:
            raise ConfigError(
                f"--model: its ellipticities begin at {roundest:g}, but the limit is computed for "
                "a range from 0; give another model"
            )

    def values(self, z: np.ndarray) -> pd.DataFrame:
        """Turn coordinates (n, 7) into parameters, a column each."""
        table = pd.DataFrame(self._low + (self._high - self._low) * expit(z[:, :-2]), columns=BOXED)
        square = z[:, -2] ** 2 + z[:, -1] ** 2
        table["ellipticity"] = self._flattest * square / (1 + square)
        table["position_angle"] = np.degrees(np.arctan2(z[:, -1], z[:, -2])) / 2 % 180
        return table

    def coordinates(self, values: dict[str, float]) -> np.ndarray:
        """Turn one galaxy's parameters into coordinates (7,); what lies outside moves inside."""
        place = (np.array([values[name] for name in BOXED]) - self._low) / (self._high - self._low)
        place = np.clip(place, 0.02, 0.98)
        t = np.clip(values["ellipticity"] / self._flattest, 0.02, 0.98)
        angle = 2 * np.radians(values["position_angle"])
        vector = np.sqrt(t / (1 - t)) * np.array([np.cos(angle), np.sin(angle)])
        return np.concatenate([np.log(place / (1 - place)), vector])

    @staticmethod
    def log_density(z: np.ndarray) -> np.ndarray:
        """Logarithm of the density (n,) at coordinates (n, 7)."""
        size = np.abs(z[:, :-2])
        boxed = (-size - 2 * np.log1p(np.exp(-size))).sum(axis=1)
        return np.asarray(boxed - 2 * np.log1p((z[:, -2:] ** 2).sum(axis=1)) - np.log(np.pi))


class Likelihood:
    """Of a stamp (S, S), given a galaxy's parameters: as its noise was drawn, the sky known."""

    def __init__(self, config: Config) -> None:
        """Prepare the renderer and what whitens the noise."""
        image = config.image.model_copy(update={"stamp_size": SIDE})
        self._renderer = make_renderer(
            image, make_psf(config.psf, image.pixel_scale), Simulation().renderer
        )
        self._levels = resolve(config.simulation.noise)
        taps = kernel(self._levels.drop).astype(float)
        self._whiten = None
        if len(taps) > 1:
            # Noise is the product of both axes' correlations, times each pixel's own scatter.
            column = np.zeros(SIDE)
            column[: len(taps)] = np.correlate(taps, taps, "full")[len(taps) - 1 :]
            self._whiten = np.linalg.inv(np.linalg.cholesky(toeplitz(column)))

    def terms(
        self, stamp: np.ndarray, galaxy: dict[str, float], variance: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Residuals in units of the noise, and its variance, (S, S); by default the galaxy's."""
        light = self._renderer.render(galaxy)
        if variance is None:
            variance = np.full_like(light, self._levels.pixel_rms**2)
            if self._levels.source_poisson:
                variance += np.maximum(light, 0) / np.float32(self._levels.exposure_time)
        rest = (stamp - light) / np.sqrt(variance)
        if self._whiten is not None:
            rest = self._whiten @ rest @ self._whiten.T
        return rest, variance

    def __call__(self, stamp: np.ndarray, galaxies: pd.DataFrame) -> np.ndarray:
        """Logarithms (n,), up to a constant."""
        found = np.empty(len(galaxies))
        for row, galaxy in enumerate(galaxies.to_dict("records")):
            rest, variance = self.terms(stamp, galaxy)
            found[row] = -(np.square(rest).sum(dtype=float) + np.log(variance).sum(dtype=float)) / 2
        return found


class Proposal(NamedTuple):
    """A mixture of multivariate Student's t distributions that share one scale matrix."""

    centres: np.ndarray  #: (k, 7)
    root: np.ndarray  #: lower triangular root of the scale matrix (7, 7)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw coordinates (count, 7)."""
        centres = self.centres[rng.integers(len(self.centres), size=count)]
        scale = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, count))
        return centres + scale[:, None] * rng.standard_normal((count, COUNT)) @ self.root.T

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Logarithm of the density (n,) at coordinates (n, 7)."""
        inverse = np.linalg.inv(self.root)
        apart = (z @ inverse.T)[:, None] - (self.centres @ inverse.T)[None]
        power = -(FREEDOM + COUNT) / 2 * np.log1p((apart**2).sum(axis=2) / FREEDOM)
        norm = gammaln((FREEDOM + COUNT) / 2) - gammaln(FREEDOM / 2)
        norm -= COUNT / 2 * np.log(FREEDOM * np.pi) + np.log(np.diag(self.root)).sum()
        return np.asarray(logsumexp(power, axis=1) + norm - np.log(len(self.centres)))

    @classmethod
    def of(cls, z: np.ndarray, log_weights: np.ndarray, rng: np.random.Generator) -> Proposal:
        """Adapt to weighted draws (n, 7): kernels around some of them.

        These move towards the mean, so that the kernels' width does not widen the mixture.
        """
        while effective(log_weights) < min(TEMPERED, len(z) / 2):
            log_weights = log_weights / 1.5
        weights = normalised(log_weights)
        mean = weights @ z
        root = np.linalg.cholesky((weights[:, None] * (z - mean)).T @ (z - mean))
        share = min(effective(log_weights), KERNELS)
        width = (4 / ((COUNT + 2) * share)) ** (1 / (COUNT + 4))
        chosen = z[rng.choice(len(z), KERNELS, p=weights)]
        return cls(mean + np.sqrt(1 - min(width, 0.95) ** 2) * (chosen - mean), width * root)


def normalised(log_weights: np.ndarray) -> np.ndarray:
    """Weights (n,) that add up to 1."""
    return np.asarray(np.exp(log_weights - logsumexp(log_weights)))


def effective(log_weights: np.ndarray) -> float:
    """Effective sample size of weighted draws."""
    return float(1 / (normalised(log_weights) ** 2).sum())


def maximum(
    stamp: np.ndarray, starts: list[np.ndarray], prior: Prior, likelihood: Likelihood
) -> tuple[np.ndarray, np.ndarray]:
    """Climb from the best of some coordinates (7,) to a maximum; return it and its covariance.

    A normal law of standard deviation 1.8 stands for the prior; the draws' weights have the exact
    one.
    """

    def galaxy(z: np.ndarray) -> dict[str, float]:
        (found,) = prior.values(z[None]).to_dict("records")
        return dict(found)

    def residuals(z: np.ndarray, variance: np.ndarray | None = None) -> np.ndarray:
        rest, _ = likelihood.terms(stamp, galaxy(z), variance)
        return np.concatenate([rest.ravel(), z / 1.8]).astype(float)

    def slopes(z: np.ndarray, variance: np.ndarray) -> np.ndarray:
        here, steps = residuals(z, variance), STEP * np.eye(COUNT)
        return np.stack([residuals(z + step, variance) - here for step in steps], axis=1) / STEP

    z = min(starts, key=lambda start: float((residuals(start) ** 2).sum()))
    # A variance that follows the model within a fit would make it too bright.
    for _ in range(2):
        _, variance = likelihood.terms(stamp, galaxy(z))
        best = least_squares(
            *(residuals, z, slopes),
            **{"method": "lm", "max_nfev": 20, "ftol": 1e-6, "xtol": 1e-4, "args": (variance,)},
        )
        z = best.x
    return z, np.linalg.inv(best.jac.T @ best.jac)


def posterior(
    stamp: np.ndarray,
    starts: list[np.ndarray],
    prior: Prior,
    likelihood: Likelihood,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Weighted draws from a galaxy's posterior: parameters, a row each, and ln weights (n,).

    All rounds count, each draw against the mixture of all proposals (Cornuet et al. 2012).
    """
    centre, covariance = maximum(stamp, starts, prior, likelihood)
    proposals = [Proposal(centre[None], WIDTH * np.linalg.cholesky(covariance))]
    z, target = np.empty((0, COUNT)), np.empty(0)
    while True:
        drawn = proposals[-1].draw(DRAWS, rng)
        z = np.concatenate([z, drawn])
        density = prior.log_density(drawn) + likelihood(stamp, prior.values(drawn))
        target = np.concatenate([target, density])
        log_weights = target - logsumexp([one.log_density(z) for one in proposals], axis=0)
        if effective(log_weights) > ENOUGH or len(proposals) == ROUNDS:
            return prior.values(z), log_weights
        proposals.append(Proposal.of(z, log_weights, rng))


def quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Quantile of weighted values (n,)."""
    order = np.argsort(values)
    return float(np.interp(level, np.cumsum(weights[order]) - weights[order] / 2, values[order]))


def summary(draws: pd.DataFrame, log_weights: np.ndarray, truth: pd.Series) -> dict[str, float]:
    """Mean, median, variance and the rank of the truth of each quantity, and the sample size."""
    weights = normalised(log_weights)
    found = {"draws": len(draws), "effective_size": effective(log_weights)}
    for name in PARAMETERS:
        values = draws[name].to_numpy()
        mean = float(weights @ values)
        found |= {
            f"{name}_mean": mean,
            f"{name}_median": quantile(values, weights, 0.5),
            f"{name}_variance": float(weights @ (values - mean) ** 2),
            f"{name}_rank": float(weights[values < truth[name]].sum()),
        }
    return found


def checks(found: pd.DataFrame, truth: pd.DataFrame, answers: pd.DataFrame) -> str:
    """Text: whether the posterior is right, and what its variances predict.

    `predicted` is R² of the mean from the variances, z the distance of both in standard errors;
    `expected` is galadapt's R² where chance, which favours neither, is left out: its distance from
    the posterior mean counts, and the posterior's variance.
    """
    sizes = found["effective_size"]
    lines = [
        f"Effective sample sizes: median {sizes.median():.0f}, smallest {sizes.min():.0f}, "
        f"{int((sizes < 100).sum())} of {len(found)} below 100; draws: "
        f"mean {found['draws'].mean():.0f}.",
        f"{'':18s} {'R² of mean':>11s} {'(68 %)':>15s} {'predicted':>10s} {'+-':>6s} "
        f"{'z':>5s} {'p of ranks':>10s} {'galadapt':>9s} {'expected':>9s}",
    ]
    for name in PARAMETERS:
        true, mean = truth[name].to_numpy(), found[f"{name}_mean"].to_numpy()
        variance, total = found[f"{name}_variance"].to_numpy(), true.var()
        apart = (true - mean) ** 2 - variance
        z = apart.mean() / (apart.std() / np.sqrt(len(true)))
        error = variance.std() / np.sqrt(len(true)) / total
        low, high = r2_interval(true, mean, BOOTSTRAPS, 0)
        answer = answers[name].to_numpy()
        lost = ((answer - mean) ** 2).mean() / total
        predicted = 1 - variance.mean() / total
        lines.append(
            f"{name:18s} {r2(true, mean):11.4f} {f'{low:.4f} to {high:.4f}':>15s} "
            f"{predicted:10.4f} {error:6.4f} {z:5.1f} "
            f"{kstest(found[f'{name}_rank'], 'uniform').pvalue:10.2f} {r2(true, answer):9.4f} "
            f"{predicted - lost:9.4f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Compute the limit, print it and write its tables."""
    parser = options.parser(__doc__, "limit.csv")
    parser.add_argument("--model", type=Path, required=True, help="package for any image")
    parser.add_argument("--count", type=int, default=200, help="stamps")
    return options.carried_out("limit", run, parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    """Make the stamps, compute every galaxy's posterior, write and print what came out.

    Raises:
        ConfigError: an option makes no sense.
        DataError: the model is none.
        RunError: galadapt cannot measure the stamps.
    """
    config, limits, folder = options.settled(arguments)
    condition = make("clean", config, limits, arguments.count, arguments.seed, folder)
    answers = measure(arguments.model, condition.stamps.resolve(), config.image.zero_point)
    with np.load(condition.stamps, allow_pickle=False) as file:
        images = file["images"]
    prior = Prior(limits, Simulation().max_offset)
    likelihood = Likelihood(config)
    found, seconds = [], []
    galaxies = zip(images, answers[list(PARAMETERS)].to_dict("records"), strict=True)
    for row, (stamp, answer) in enumerate(
        progress(galaxies, len(images), "posteriors", "galaxies")
    ):
        begin, rng = time.process_time(), generator(arguments.seed, PURPOSE, row)
        placed = {**answer, "x_offset": 0.0, "y_offset": 0.0}
        starts = [prior.coordinates({**placed, "position_angle": angle}) for angle in ANGLES]
        draws = posterior(stamp, starts, prior, likelihood, rng)
        found.append(summary(*draws, condition.truth.iloc[row]))
        seconds.append(time.process_time() - begin)
    table = pd.DataFrame(found)
    measured = {REFERENCE: answers}
    for method, kind in ((MEAN, "mean"), (MEDIAN, "median")):
        measured[method] = pd.DataFrame(
            {"row": range(len(table)), "seconds": seconds, "reason": ""}
            | {name: table[f"{name}_{kind}"] for name in PARAMETERS}
        )
    shown = rows("clean", condition.truth, measured, config.evaluation)
    write_csv(arguments.output, shown)
    write_csv(folder / "galaxies.csv", pd.concat([condition.truth, table], axis=1))
    print(printed(shown))
    print("\n" + checks(table, condition.truth, answers))


if __name__ == "__main__":
    sys.exit(main())
