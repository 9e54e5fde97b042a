"""Weights that give simulated galaxies the population of a survey, from predictions alone."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

#: Largest weight: a galaxy that stands for more than this many others would be noise.
LARGEST = 10.0


def matching_weights(simulated: np.ndarray, survey: np.ndarray) -> np.ndarray:
    """Estimate the density ratio survey / simulated at each simulated galaxy.

    The odds of a probabilistic classifier between two samples are the ratio of their densities
    (Sugiyama et al. 2012, Density Ratio Estimation, ch. 4). It is fitted to predicted
    parameters with their squares and products: enough for a peak inside a uniform prior, too little
    to overfit.

    From predicted standardised parameters (n, p) and (m, p) follow weights (n,), float32, of mean
    1, at most `LARGEST` before that normalisation.
    """
    # A network's wildest extrapolations must not bend the quadratic form.
    low, high = simulated.min(axis=0), simulated.max(axis=0)
    values = np.clip(np.concatenate([simulated, survey]), low, high)
    is_survey = np.arange(len(values)) >= len(simulated)
    classifier = make_pipeline(
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        LogisticRegression(class_weight="balanced", max_iter=500),
    )
    classifier.fit(values, is_survey)
    log_odds = classifier.decision_function(values[: len(simulated)])
    ratio = np.exp(np.minimum(log_odds, np.log(LARGEST)))
    return (ratio / ratio.mean()).astype(np.float32)
