"""The alignment terms against plain numpy, and where they must vanish."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.config.training import Compute, Coral, DareGram, Mmd
from galadapt.learners.keras import backend

backend.prepare(Compute())

from keras import ops  # noqa: E402

from galadapt.learners.keras.alignment import TERMS, AlignmentLoss  # noqa: E402

SETTINGS = {"coral": Coral(), "mmd": Mmd(), "dare_gram": DareGram(angle=1.0, scale=1.0)}


def halves(shift: float = 0.0, stretch: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Features of 20 simulated stamps and of 20 of the survey: the same, but moved."""
    features = np.random.default_rng(1).normal(size=(20, 6))
    both = np.concatenate([features, features * stretch + shift]).astype(np.float32)
    return both, np.repeat([0, 1], 20)


def value(kind: str, features: np.ndarray, domains: np.ndarray, weights: object = None) -> float:
    loss = AlignmentLoss(SETTINGS[kind])(domains, ops.convert_to_tensor(features), weights)
    return float(ops.convert_to_numpy(loss))


def test_every_kind_has_its_settings() -> None:
    assert set(TERMS) == set(SETTINGS)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_equal_domains_are_aligned(kind: str) -> None:
    assert value(kind, *halves()) == pytest.approx(0, abs=2e-5)


@pytest.mark.parametrize(
    ("kind", "change"),
    [("coral", "stretch"), ("mmd", "shift"), ("mmd", "stretch"), ("dare_gram", "shift")],
)
def test_unlike_domains_are_not(kind: str, change: str) -> None:
    little, more = (value(kind, *halves(**{change: amount})) for amount in (1.2, 3.0))
    assert 1e-4 < little < more


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_order_and_unweighted_stamps_do_not_matter(kind: str) -> None:
    """A stamp of weight zero may be anything, as when matching gives it none."""
    features, domains = halves(shift=0.7, stretch=1.5)
    expected = value(kind, features, domains)
    order = np.random.default_rng(2).permutation(40)
    assert value(kind, features[order], domains[order]) == pytest.approx(expected, rel=1e-4)
    more = np.vstack([features, np.full((1, 6), 9.0, np.float32)])
    weights = np.append(np.full(40, 0.3), 0.0).astype(np.float32)
    weighed = value(kind, more, np.append(domains, 0), weights)
    # The kernels' common width is the whole batch's, stranger included.
    assert weighed == pytest.approx(expected, rel=0.8 if kind == "mmd" else 1e-4)


def test_coral_is_the_published_distance() -> None:
    features, domains = halves(stretch=2.0)
    covariances = [np.cov(features[domains == d], rowvar=False, bias=True) for d in (0, 1)]
    expected = np.sum((covariances[0] - covariances[1]) ** 2) / (4 * 6**2)
    assert value("coral", features, domains) == pytest.approx(expected, rel=1e-4)


def test_mmd_is_the_published_statistic() -> None:
    features, domains = halves(shift=1.0)
    squares = ((features[:, None] - features[None]) ** 2).sum(-1)
    kernel = np.mean([np.exp(-squares / (w * squares.mean())) for w in Mmd().bandwidths], axis=0)
    s, t = domains == 0, domains == 1
    expected = kernel[s][:, s].mean() + kernel[t][:, t].mean() - 2 * kernel[s][:, t].mean()
    assert value("mmd", features, domains) == pytest.approx(expected, rel=1e-3)


def test_dare_gram_is_angles_and_eigenvalues() -> None:
    features, domains = halves(shift=0.5, stretch=1.5)
    settings = SETTINGS["dare_gram"]
    inverses, spectra, leading = [], [], []
    for domain in (0, 1):
        rows = np.insert(features[domains == domain], 0, 1, axis=1) / np.sqrt(20)
        gram = rows.T.astype(float) @ rows
        inverses.append(np.linalg.inv(gram + settings.ridge * np.trace(gram) / 7 * np.eye(7)))
        spectra.append(np.sort(np.linalg.eigvalsh(gram))[::-1])
        share = np.cumsum(spectra[-1]) / spectra[-1].sum()
        leading.append(int(np.argmax(share >= settings.energy)) + 1)
    lengths = np.linalg.norm(inverses[0], axis=0) * np.linalg.norm(inverses[1], axis=0)
    angles = np.abs(1 - (inverses[0] * inverses[1]).sum(axis=0) / lengths).mean()
    count = max(leading)
    distance = np.linalg.norm(spectra[0][:count] - spectra[1][:count]) / count
    assert value("dare_gram", features, domains) == pytest.approx(angles + distance, rel=1e-3)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_a_batch_without_one_domain_gives_a_number(kind: str) -> None:
    features, _ = halves()
    assert np.isfinite(value(kind, features, np.zeros(40, int)))
