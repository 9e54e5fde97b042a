"""The Fourier transform of the Sersic profile, tabulated for every index in [0.3, 6.2].

With x = k r_e, a unit-flux Sersic profile has the transform (Mellin-Barnes; it follows from the
Mellin transforms of exp and J0, e.g. Gradshteyn & Ryzhik 6.561.14)

    F_n(x) = 4 / (Gamma(2n) z^2)  1/(2 pi i) integral ds Gamma(2 n s) Gamma(1-s)/Gamma(s) (z/2)^(2s)

where z = x / b_n^n and 0 < Re s < 1. The integrand falls off as exp(-pi n |Im s|), so the trapezoid
rule converges geometrically: a few hundred points give 1e-12.

Rendering takes millions of values. The table is therefore piecewise linear in x^2 with 512
equal pieces per octave of x^2: the piece is the leading bits of the float32 number x^2 and the
place within it the trailing ones, so a look-up needs no logarithm.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gammaincinv, gammaln, loggamma

from galadapt.config.base import SERSIC_INDEX_LIMITS

#: Octaves of x^2 in the table: below the first the transform is 1 to 3e-7.
OCTAVES = (-28, 30)
#: Trailing bits of a float32 that place x^2 within a piece; the other 9 of 23 number the piece.
FRACTION_BITS = 14

_PIECES = (OCTAVES[1] - OCTAVES[0]) << (23 - FRACTION_BITS)

# Nodes of the index, equidistant in ln n, with one beyond each limit for cubic interpolation.
_NODES = 128

# Values of the table are multiples of this: a hundredth of the error of interpolation.
_QUANTUM = 2.0**-27

_PER_OCTAVE = 32  #: points of the spline between exact values and pieces, per octave of x^2

# The contour s = 0.75 + iy: its residual period in ln x leaves 1e-12 at this step.
_CONTOUR = 0.75
_STEP = 0.05
_LENGTH = 45.0


def first_piece(octave: int) -> int:
    """Return the leading bits of the float32 number 2**octave."""
    return (127 + octave) << (23 - FRACTION_BITS)


def scale(index: float | np.ndarray) -> float | np.ndarray:
    """Return b_n, with which half the light lies inside r_e: gammainc(2n, b_n) = 1/2."""
    return gammaincinv(2 * np.asarray(index), 0.5)[()]


def transform(index: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    """Compute the exact transform of unit-flux Sersic profiles, of index or indices (n,) >= 0.3.

    `x` is the wave number times the effective radius [rad] (m,), positive.

    Returns:
        F_n(x) of shape (m,) or (n, m), absolute error below 1e-11 for x in [1e-5, 1e5].
    """
    n = np.asarray(index, float)[..., None]
    y = np.arange(0.0, _LENGTH, _STEP)
    s = _CONTOUR + 1j * y
    log_x = np.log(np.asarray(x, float) / 2)
    shift = n * np.log(scale(n))
    # z^(2s - 2) = x^(2s - 2) times what depends on n only: one table of phases serves all n.
    log_weights = loggamma(2 * n * s) - gammaln(2 * n) + loggamma(1 - s) - loggamma(s)
    weights = np.exp(log_weights - (2 * s - 2) * shift)
    weights[..., 0] /= 2
    # The conjugate half of the contour doubles the real part.
    phase = np.multiply.outer(2 * y, log_x)
    # einsum sums in one order; a matrix product's rounding depends on the machine.
    total = np.einsum("...y,yx->...x", weights.real, np.cos(phase))
    total -= np.einsum("...y,yx->...x", weights.imag, np.sin(phase))
    return total * np.exp((2 * _CONTOUR - 2) * log_x) * _STEP / np.pi


class SersicTable:
    """Look-up table of `transform`, float32.

    Interpolation is linear in x^2 and cubic in ln n; its error is below 5e-7 of the flux (tested).
    """

    def __init__(self) -> None:
        low, high = np.log(SERSIC_INDEX_LIMITS)
        step = (high - low) / (_NODES - 3)
        self._log_index = low + step * np.arange(-1, _NODES - 1)
        self._step = step
        first, last = OCTAVES
        log_x2 = np.log(2.0) * np.linspace(first, last, (last - first) * _PER_OCTAVE + 1)
        coarse = transform(np.exp(self._log_index), np.exp(log_x2 / 2))
        starts = (np.arange(_PIECES + 1) + first_piece(first)).astype(np.int32) << FRACTION_BITS
        x2 = starts.view(np.float32).astype(np.float64)
        spline = CubicSpline(log_x2, coarse, axis=1)
        #: Transforms at the starts of all pieces (and the end of the last), one row per node.
        # Rounded, so that the last digits of a machine's logarithms do not show.
        self.values = np.asarray(np.round(spline(np.log(x2)) / _QUANTUM) * _QUANTUM, "<f4", "C")
        # Largest absolute value at or beyond the start of each octave.
        per_octave = 1 << (23 - FRACTION_BITS)
        largest = np.abs(self.values[:, :-1]).reshape(_NODES, -1, per_octave).max(axis=2)
        self._largest = np.maximum.accumulate(largest[:, ::-1], axis=1)[:, ::-1]

    def _place(self, index: float) -> tuple[int, float]:
        """Return the row an index lies behind, and how far in units of their distance."""
        position = (math.log(index) - self._log_index[0]) / self._step
        node = min(max(int(position), 1), _NODES - 3)
        return node, position - node

    def stencil(self, index: float) -> tuple[int, np.ndarray]:
        """Return the first of the four rows an index lies between, and their weights (4,)."""
        node, t = self._place(index)
        # Lagrange's cubic through the nodes at -1, 0, 1, 2.
        weights = [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ]
        return node - 1, np.array(weights, np.float32)

    def stencil_slope(self, index: float) -> np.ndarray:
        """Return the derivative of the weights of `stencil` by ln n, (4,) float32."""
        _, t = self._place(index)
        slopes = [
            -(3 * t * t - 6 * t + 2) / 6,
            (3 * t * t - 4 * t - 1) / 2,
            -(3 * t * t - 2 * t - 2) / 2,
            (3 * t * t - 1) / 6,
        ]
        return np.array(slopes, np.float32) / np.float32(self._step)

    def bounds(self, index: float) -> list[float]:
        """Bound the transform's absolute value at and beyond the start of each octave of x^2."""
        row, _ = self.stencil(index)
        return self._largest[row + 1 : row + 3].max(axis=0).tolist()

    def pieces(self, index: float, octaves: tuple[int, int] = OCTAVES) -> np.ndarray:
        """Return one index's transform as line pieces over a range of log2 x^2 inside `OCTAVES`.

        Returns:
            (pieces,) complex64: the value at the start of a piece as the real part, the slope per
            trailing bit as the imaginary one, so that one gather fetches both. The piece of x^2
            is number ``(bits >> FRACTION_BITS) - first_piece(octaves[0])``. The first piece is
            F = 1, to be used for x = 0: begin an octave early.
        """
        first, last = (first_piece(octave) - first_piece(OCTAVES[0]) for octave in octaves)
        row, weights = self.stencil(index)
        value, slope = line_pieces(weights, self.values[row : row + 4, first : last + 1])
        pieces = np.empty(last - first, np.complex64)
        pieces.real, pieces.imag = value, slope
        pieces[0] = 1.0
        return pieces


def line_pieces(weights: Any, rows: Any) -> tuple[Any, Any]:
    """Interpolate four rows of the table (4, pieces + 1), of numpy or JAX, by their weights (4,).

    Returns:
        Values at the starts of the pieces and slopes per trailing bit, (pieces,) float32.
    """
    # No matrix product: its rounding depends on the machine.
    row = weights[0] * rows[0]
    for k in (1, 2, 3):
        row += weights[k] * rows[k]
    return row[:-1], (row[1:] - row[:-1]) * 2.0**-FRACTION_BITS


@cache
def sersic_table() -> SersicTable:
    """Return the table, built on first use (half a second)."""
    return SersicTable()
