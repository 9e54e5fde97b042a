"""The limit of all methods: its prior, its likelihood and its sampling, against known answers."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import truncnorm

from galadapt.core.quantity import PARAMETERS
from galadapt.simulation.noise import add_noise
from galadapt.tasks.reading import load

REPOSITORY = Path(__file__).parents[3]
sys.path.insert(0, str(REPOSITORY / "benchmarks" / "fitters"))

import conditions  # noqa: E402
import limit  # noqa: E402

EXPERIMENT = load(REPOSITORY / "config" / "config.yaml")
PRIOR = limit.Prior(conditions.BOX, 0.5)
GALAXY = {
    **{"magnitude": 21.0, "effective_radius": 6.0, "sersic_index": 1.5, "ellipticity": 0.4},
    **{"position_angle": 130.0, "x_offset": 0.2, "y_offset": -0.3},
}


class Normal:
    """A likelihood: magnitude 24.8 +- 0.3, (e1, e2) = (0.3, 0) +- 0.1, nothing of the rest."""

    def terms(self, stamp, galaxy, variance=None):
        angle = 2 * np.radians(galaxy["position_angle"])
        e1, e2 = galaxy["ellipticity"] * np.array([np.cos(angle), np.sin(angle)])
        rest = [(galaxy["magnitude"] - 24.8) / 0.3, (e1 - 0.3) / 0.1, e2 / 0.1]
        return np.array(rest), np.ones(1)

    def __call__(self, stamp, galaxies):
        rests = [self.terms(stamp, galaxy)[0] for galaxy in galaxies.to_dict("records")]
        return -np.square(rests).sum(axis=1) / 2


def test_coordinates_invert_values():
    (found,) = PRIOR.values(PRIOR.coordinates(GALAXY)[None]).to_dict("records")
    assert found == pytest.approx(GALAXY)


def test_the_prior_is_uniform_in_what_the_galaxies_are_drawn_from():
    rng = np.random.default_rng(1)
    proposal = limit.Proposal(np.zeros((1, limit.COUNT)), 1.8 * np.eye(limit.COUNT))
    z = proposal.draw(200_000, rng)
    weights = np.exp(PRIOR.log_density(z) - proposal.log_density(z))
    assert weights.mean() == pytest.approx(1.0, abs=0.02)
    values = PRIOR.values(z)
    ranges = {**conditions.BOX, "x_offset": (-0.5, 0.5), "position_angle": (0, 180)}
    for name, (low, high) in ranges.items():
        share, _ = np.histogram(values[name], 5, (low, high), weights=weights / weights.sum())
        assert share == pytest.approx(np.full(5, 0.2), abs=0.012), name


@pytest.mark.parametrize("white", [True, False])
def test_residuals_of_the_true_galaxy_are_white(white):
    config = conditions.without_drizzling(EXPERIMENT) if white else EXPERIMENT
    likelihood = limit.Likelihood(config)
    light = likelihood._renderer.render(GALAXY)
    rests = []
    for seed in range(4):
        stamp = add_noise(light, likelihood._levels, np.random.default_rng(seed))
        rests.append(likelihood.terms(stamp, GALAXY)[0])
    rest = np.array(rests)
    assert rest.var() == pytest.approx(1.0, abs=0.02)
    for one, other in ((rest[:, 1:], rest[:, :-1]), (rest[..., 1:], rest[..., :-1])):
        assert (one * other).mean() == pytest.approx(0.0, abs=0.015)


def test_the_posterior_of_a_normal_likelihood_at_the_priors_edge():
    start = [PRIOR.coordinates(GALAXY)]
    draws, log_weights = limit.posterior(
        np.zeros(1), start, PRIOR, Normal(), np.random.default_rng(2)
    )
    weights = limit.normalised(log_weights)
    known = truncnorm(-np.inf, 0.2 / 0.3, 24.8, 0.3)
    error = 4 * known.std() / np.sqrt(limit.effective(log_weights))
    assert weights @ draws["magnitude"] == pytest.approx(known.mean(), abs=error)
    # Uniform in e, not in (e1, e2): the density of the latter has a factor 1 / e.
    axis = np.linspace(-0.9, 0.9, 1800)
    e1, e2 = np.meshgrid(axis, axis)
    e = np.hypot(e1, e2)
    density = np.exp(-((e1 - 0.3) ** 2 + e2**2) / 0.02) / e * (e < 0.9)
    mean = (density * e).sum() / density.sum()
    assert weights @ draws["ellipticity"] == pytest.approx(mean, abs=4 * 0.1 / np.sqrt(120))
    assert weights @ draws["sersic_index"] == pytest.approx(3.25, abs=4 * 1.7 / np.sqrt(120))


def test_summary_ranks_the_truth_and_quantiles_are_weighted():
    draws = pd.DataFrame({name: np.arange(5.0) for name in PARAMETERS})
    log_weights = np.log([1, 1, 1, 1, 4])
    found = limit.summary(draws, log_weights, pd.Series(dict.fromkeys(PARAMETERS, 2.5)))
    assert found["magnitude_rank"] == pytest.approx(3 / 8)
    assert found["magnitude_mean"] == pytest.approx(22 / 8)
    assert found["effective_size"] == pytest.approx(64 / 20)
    assert limit.quantile(np.arange(4.0), np.full(4, 0.25), 0.5) == pytest.approx(1.5)
