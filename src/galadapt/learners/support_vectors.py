"""Support vector regression of several outputs that share one kernel."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVR


class SupportVectors(RegressorMixin, BaseEstimator):
    """One epsilon-SVR per output (Smola & Schoelkopf 2004), with a Gaussian kernel.

    scikit-learn's `SVR` in `MultiOutputRegressor` computes the kernel anew for every output, and
    keeps what it has learned in no form but a pickle.

    Attributes:
        solution_: Coefficients of the training inputs, and in the last row the intercepts,
            (n + 1, outputs). Where it is set before `fit`, nothing is solved.
    """

    def __init__(self, C: float = 1.0, epsilon: float = 0.1) -> None:
        self.C, self.epsilon = C, epsilon
        self.solution_: np.ndarray | None = None

    def fit(
        self, inputs: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> SupportVectors:
        """Solve for targets (n, outputs); the kernel is as wide as `SVR(gamma="scale")` has it."""
        self.inputs_ = np.asarray(inputs, np.float64)
        self.gamma_ = 1.0 / (self.inputs_.shape[1] * (self.inputs_.var() or 1.0))
        if self.solution_ is None:
            kernel = rbf_kernel(self.inputs_, gamma=self.gamma_)
            self.solution_ = np.zeros((len(targets) + 1, targets.shape[1]))
            for k, wanted in enumerate(targets.T):
                one = SVR(kernel="precomputed", C=self.C, epsilon=self.epsilon)
                one.fit(kernel, wanted, sample_weight)
                self.solution_[one.support_, k] = one.dual_coef_[0]
                self.solution_[-1, k] = one.intercept_[0]
        return self

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return (n, outputs)."""
        assert self.solution_ is not None
        kernel = rbf_kernel(inputs, self.inputs_, gamma=self.gamma_)
        return kernel @ self.solution_[:-1] + self.solution_[-1]
