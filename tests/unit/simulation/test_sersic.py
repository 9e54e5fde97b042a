import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma, j0

from galadapt.simulation.sersic import (
    FRACTION_BITS,
    OCTAVES,
    first_piece,
    scale,
    sersic_table,
    transform,
)

X = np.geomspace(1e-4, 3e4, 3000)


def looked_up(index, x, octaves=OCTAVES):
    bits = (x**2).astype(np.float32).view(np.int32)
    pieces = sersic_table().pieces(index, octaves)
    piece = pieces[np.maximum((bits >> FRACTION_BITS) - first_piece(octaves[0]), 0)]
    return piece.real + piece.imag * (bits & ((1 << FRACTION_BITS) - 1))


ANALYTIC = [
    (0.5, lambda z: np.exp(-(z**2) / 4)),
    (1.0, lambda z: (1 + z**2) ** -1.5),
]


@pytest.mark.parametrize(("index", "closed"), ANALYTIC)
def test_gaussian_and_exponential(index, closed):
    z = X / scale(index) ** index
    np.testing.assert_allclose(transform(index, X), closed(z), atol=1e-12)
    np.testing.assert_allclose(looked_up(index, X), closed(z), atol=1e-6)


@pytest.mark.parametrize("index", [0.3, 0.62, 1.7, 2.5])
@pytest.mark.parametrize("x", [0.05, 0.7, 2.0, 6.0])
def test_direct_integration_of_the_profile(index, x):
    # Far enough out, in units of r_e; the oscillations are few enough for quad.
    b = scale(index)
    end = (45 / b) ** index
    light = 2 * np.pi * index * gamma(2 * index) / b ** (2 * index)
    value, _ = quad(
        lambda r: 2 * np.pi * r * np.exp(-b * r ** (1 / index)) * j0(x * r),
        0,
        end,
        limit=2000,
        epsabs=1e-9,
        epsrel=1e-9,
    )
    assert transform(index, np.array([x]))[0] == pytest.approx(value / light, abs=1e-6)


def test_the_table_is_the_transform_between_its_nodes():
    rng = np.random.default_rng(1)
    for index in [0.3, 6.2, *rng.uniform(0.3, 6.2, 25)]:
        x = 10 ** rng.uniform(-4, 4.4, 2000)
        np.testing.assert_allclose(looked_up(index, x), transform(index, x), atol=5e-7)


def test_a_part_of_the_table_is_the_same_and_begins_with_one():
    x = np.geomspace(0.13, 30, 500)
    octaves = (-7, 10)
    np.testing.assert_array_equal(looked_up(2.3, x, octaves), looked_up(2.3, x))
    assert sersic_table().pieces(2.3, octaves)[0] == 1
