"""Alignment terms: how unlike the features of the two domains are, as losses.

A term compares the features of the simulated and the survey stamps of one batch. The domains are
told apart by weights, not by indexing, so that shapes stay fixed inside a compiled step: each
domain's weights add up to 1, and the other domain's stamps weigh nothing.

A term of the user's own is named by its file (``kind: own``). To add one here: a settings class in
`galadapt.config.training` (in the union `Alignment`) and one function, named in `TERMS`; its
settings go into `Settings`. The adversary needs a network of its own and is built in
`galadapt.learners.keras.networks.add_domain_head`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from galadapt.config.base import DOMAINS
from galadapt.config.training import Coral, DareGram, Mmd, OwnAlignment
from galadapt.core.errors import ConfigError
from galadapt.core.imports import errors_named, function

Tensor = Any
Settings = Coral | Mmd | DareGram | OwnAlignment

_TINY = 1e-12


class AlignmentLoss(keras.losses.Loss):
    """A term as Keras calls it: of domains (n,), indices in `DOMAINS`, and features (n, f)."""

    def __init__(self, settings: Settings) -> None:
        """Choose the term by the kind of its settings; a ConfigError if its file is wrong."""
        super().__init__(name=settings.kind)
        self._settings = settings
        self._term = (
            function(settings.function)
            if isinstance(settings, OwnAlignment)
            else TERMS[settings.kind]
        )

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Compare the domains of a batch, stamps weighted within each; None: equally."""
        features = ops.cast(y_pred, "float32")
        domain = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        given = ops.ones_like(features[:, 0])
        if sample_weight is not None:
            given = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        simulated, survey = (
            given * ops.cast(ops.equal(domain, index), "float32") for index in range(len(DOMAINS))
        )
        return self._term(
            features,
            simulated / (ops.sum(simulated) + _TINY),
            survey / (ops.sum(survey) + _TINY),
            self._settings,
        )


class _Traced(keras.Operation):
    """A loss as a compiled step calls it."""

    def __init__(self, loss: AlignmentLoss) -> None:
        super().__init__()
        self._loss = loss

    def call(self, domains: Tensor, features: Tensor) -> Tensor:
        """Return the loss of domains (n,) and features (n, f)."""
        return self._loss(domains, features)


def check_own(settings: OwnAlignment, features: int) -> None:
    """Try a term of the user's own on features (n, `features`), as training does.

    Raises:
        ConfigError: it raises an error, or its value is not one finite number.
    """
    loss = AlignmentLoss(settings)
    domains = np.arange(8) % len(DOMAINS)
    values = np.random.default_rng(0).normal(size=(8, features)).astype(np.float32)
    with errors_named(settings.function):
        value = ops.convert_to_numpy(loss(domains, ops.convert_to_tensor(values)))
        # In a compiled step the number of stamps is not known.
        shape = _Traced(loss)(
            keras.KerasTensor((None,), "int32"), keras.KerasTensor((None, features), "float32")
        ).shape
    if tuple(shape) or value.shape or not np.isfinite(value):
        found = f"an array of shape {value.shape}" if value.shape else f"{value}"
        raise ConfigError(
            f"{settings.function}: returns {found} for random features; a loss is one finite number"
        )


def coral(features: Tensor, simulated: Tensor, survey: Tensor, settings: Coral) -> Tensor:
    """Squared distance of the covariances over 4 f^2 (Sun & Saenko 2016, eq. 1)."""
    difference = _covariance(features, simulated) - _covariance(features, survey)
    return ops.sum(ops.square(difference)) / (4.0 * features.shape[1] ** 2)


def _covariance(features: Tensor, weights: Tensor) -> Tensor:
    centred = features - ops.matmul(weights[None, :], features)
    return ops.matmul(ops.transpose(centred * weights[:, None]), centred)


def mmd(features: Tensor, simulated: Tensor, survey: Tensor, settings: Mmd) -> Tensor:
    """Squared maximum mean discrepancy, averaged over Gaussian kernels (Gretton et al. 2012)."""
    squares = ops.sum(ops.square(features), axis=1)
    distances = squares[:, None] + squares[None, :]
    distances = ops.maximum(distances - 2 * ops.matmul(features, ops.transpose(features)), 0.0)
    # The unit is measured, not learned: else spreading the features would reduce the term.
    unit = ops.stop_gradient(ops.mean(distances)) + _TINY
    kernels = [ops.exp(-distances / (width * unit)) for width in settings.bandwidths]
    kernel = sum(kernels) / len(kernels)
    signed = (simulated - survey)[:, None]
    return ops.sum(signed * ops.matmul(kernel, signed))


def dare_gram(features: Tensor, simulated: Tensor, survey: Tensor, settings: DareGram) -> Tensor:
    """Angles of the inverse Gram matrices and scale of their eigenvalues (Nejjar et al. 2023).

    The least-squares regressor on features Z (with a column of ones) is (Z'Z)^-1 Z'y: domains
    whose inverses agree are regressed alike. A batch has fewer stamps than features, so the
    inverse needs care; a ridge takes the place of the paper's truncation, because the gradient of
    a truncated pseudo-inverse is not finite where eigenvalues meet.
    """
    ones = ops.ones_like(features[:, :1])
    inputs = ops.concatenate([ones, features], axis=1)
    inverses, spectra = [], []
    for weights in (simulated, survey):
        rows = inputs * ops.sqrt(weights)[:, None]
        gram = ops.matmul(ops.transpose(rows), rows)
        size = gram.shape[0]
        ridge = settings.ridge * ops.stop_gradient(ops.trace(gram)) / size + _TINY
        inverses.append(ops.inv(gram + ridge * ops.eye(size)) * ridge)
        spectra.append(ops.square(ops.svd(rows, full_matrices=False, compute_uv=False)))
    first, second = inverses
    lengths = ops.sqrt(ops.sum(ops.square(first), 0) * ops.sum(ops.square(second), 0)) + _TINY
    angles = ops.mean(ops.abs(1.0 - ops.sum(first * second, axis=0) / lengths))
    compared = ops.maximum(*(_leading(spectrum, settings.energy) for spectrum in spectra))
    squares = ops.sum(compared * ops.square(spectra[0] - spectra[1]))
    # The square root of 0 has no gradient.
    distance = ops.sqrt(squares + _TINY) / ops.sum(compared)
    return settings.angle * angles + settings.scale * distance


def _leading(spectrum: Tensor, energy: float) -> Tensor:
    """Mark the largest eigenvalues that hold the share `energy` of the sum: (k,) of 0 and 1."""
    fixed = ops.stop_gradient(spectrum)
    before = ops.cumsum(fixed) - fixed
    return ops.cast(before < energy * ops.sum(fixed), "float32")


#: The term of each kind of alignment.
TERMS: dict[str, Callable[[Tensor, Tensor, Tensor, Any], Tensor]] = {
    "coral": coral,
    "mmd": mmd,
    "dare_gram": dare_gram,
}
