"""The mean over orientations: eight different ones, whose mean knows none of them."""

from __future__ import annotations

import numpy as np
import pytest

from galadapt.config.training import Compute
from galadapt.learners.keras import backend

backend.prepare(Compute())

from galadapt.learners.keras.batches import turn  # noqa: E402
from galadapt.learners.orientations import COUNT, mean_output, oriented  # noqa: E402

STAMPS = np.random.default_rng(3).standard_normal((5, 6, 6, 1)).astype(np.float32)
WEIGHTS = np.random.default_rng(4).standard_normal((36, 3)).astype(np.float32)


def ask(images: np.ndarray) -> list[np.ndarray]:
    """A network that cares how stamps are turned, and sees nothing but a contiguous array."""
    assert images.flags.c_contiguous
    answer = np.tanh(images.reshape(len(images), -1) @ WEIGHTS)
    return [answer, answer[:, :1] ** 2]


def test_orientations_are_eight_and_those_of_the_augmentation() -> None:
    found = [oriented(STAMPS, k) for k in range(COUNT)]
    assert len({one.tobytes() for one in found}) == COUNT == 8
    for k, one in enumerate(found):
        np.testing.assert_array_equal(one, turn(STAMPS, np.full(len(STAMPS), k)))
        np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(STAMPS, axis=None))


@pytest.mark.parametrize("orientation", range(1, COUNT))
def test_mean_output_is_the_same_bits_however_stamps_are_turned(orientation: int) -> None:
    turned = np.ascontiguousarray(oriented(STAMPS, orientation))
    assert not np.allclose(ask(turned)[0], ask(STAMPS)[0], atol=0.1)
    for one, other in zip(mean_output(ask, turned), mean_output(ask, STAMPS), strict=True):
        np.testing.assert_array_equal(one, other)


def test_mean_output_is_the_mean() -> None:
    answer, square = mean_output(ask, STAMPS)
    each = [ask(np.ascontiguousarray(oriented(STAMPS, k))) for k in range(COUNT)]
    np.testing.assert_allclose(answer, np.mean([one[0] for one in each], axis=0), rtol=1e-5)
    assert answer.dtype == np.float32 and square.shape == (5, 1)
