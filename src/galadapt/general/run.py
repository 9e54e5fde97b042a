"""Running the network for any image, in ONNX Runtime: no TensorFlow, no Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from galadapt.core.onnx_files import OnnxNetwork
from galadapt.general.inputs import prepare
from galadapt.general.parameters import PARAMETERS

P = len(PARAMETERS)
TRIANGLE = P * (P + 1) // 2

#: Numbers of an output: means, factor of the inverse covariance, ellipticity, log of its error.
OUTPUTS = P + TRIANGLE + 2

#: Middle and scatter of the simulated values, of which outputs are multiples; flux relative to the
#: anchor.
MIDDLE = np.array([1.9, 2.2, 0.4, 0.0, 0.0, 0.0, 0.0], np.float32)
SPREAD = np.array([0.8, 1.1, 0.8, 0.33, 0.33, 1.2, 1.2], np.float32)
E_MIDDLE, E_SPREAD = 0.46, 0.26

#: Limits of the logarithms of the scales of errors, in units of `SPREAD`.
LOG_LOW, LOG_HIGH = -6.0, 2.0

#: Stamps of one pass, always this many: results do not depend on how stamps are grouped.
BATCH = 32

#: Gives outputs (n, 37) and features (n, f) of a batch of inputs.
Network = Callable[[np.ndarray, np.ndarray, np.ndarray], Sequence[np.ndarray]]


class Measured(NamedTuple):
    """What the network predicts for n stamps."""

    theta: np.ndarray  #: (n, 7), see `PARAMETERS`; flux in units of the stamps
    covariance: np.ndarray  #: (n, 7, 7)
    ellipticity: np.ndarray  #: (n,) 1 - b/a; its own estimate, which has no bias from noise
    ellipticity_err: np.ndarray  #: (n,)
    features: np.ndarray  #: (n, f)

    @property
    def values(self) -> np.ndarray:
        """The parameters and the ellipticity (n, 8)."""
        return np.column_stack([self.theta, self.ellipticity])

    @property
    def errors(self) -> np.ndarray:
        """Their standard deviations (n, 8)."""
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)
        return np.column_stack([np.sqrt(variance), self.ellipticity_err])


def opened(path: Path) -> Network:
    """Open the network's file; a DataError if it is damaged."""
    return OnnxNetwork(path, inputs=3, outputs=2)


def measure(
    network: Network,
    images: np.ndarray,
    valid: np.ndarray,
    noise: np.ndarray,
    psfs: np.ndarray,
    psf_index: np.ndarray,
) -> Measured:
    """Measure stamps.

    Args:
        network: From `opened`.
        images: (n, S, S) background-subtracted, in any unit.
        valid: (n, S, S) bool, pixels that count.
        noise: (n,) rms of a pixel in that unit.
        psfs: (g, S, S) effective PSFs of sum 1, centred in the middle.
        psf_index: (n,) the PSF of each stamp.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        here = images[rows] / noise[rows, None, None].astype(np.float32)
        count = len(here)
        # Filled up first: what is computed of another number of stamps may differ in a last digit.
        given = prepare(_filled(here), _filled(valid[rows]), psfs, _filled(psf_index[rows]))
        outputs, features = network(*given[:3])
        parts.append((outputs[:count], features[:count], given.anchor[:count]))
    if not parts:
        parts.append((np.zeros((0, OUTPUTS)), np.zeros((0, 1)), np.zeros(0)))
    outputs, features, anchor = (np.concatenate(part) for part in zip(*parts, strict=True))
    return split(outputs, features, anchor, noise)


def _filled(array: np.ndarray) -> np.ndarray:
    """Append zeros up to a whole batch."""
    filled = np.zeros((BATCH, *array.shape[1:]), array.dtype)
    filled[: len(array)] = array
    return filled


def split(
    outputs: np.ndarray, features: np.ndarray, anchor: np.ndarray, noise: np.ndarray
) -> Measured:
    """Turn outputs (n, 37) into values and covariances; fluxes times `noise` (n,)."""
    outputs = outputs.astype(np.float64)
    theta = outputs[:, :P] * SPREAD + MIDDLE
    theta[:, 0] += anchor + np.log(noise)
    whitening = np.linalg.inv(factor(outputs))
    covariance = whitening @ np.swapaxes(whitening, 1, 2)
    covariance *= SPREAD[:, None] * SPREAD[None, :]
    return Measured(
        theta,
        covariance,
        np.clip(outputs[:, -2] * E_SPREAD + E_MIDDLE, 0.0, 0.99),
        np.exp(limited(outputs[:, -1])) * E_SPREAD,
        features.astype(np.float64),
    )


def factor(outputs: np.ndarray) -> np.ndarray:
    """Lower triangular A (n, 7, 7) with A (truth - mean) of unit covariance."""
    raw = outputs[:, P : P + TRIANGLE]
    lower = np.tile(np.eye(P), (len(outputs), 1, 1))
    rows, columns = np.tril_indices(P, -1)
    lower[:, rows, columns] = raw[:, P:]
    scale: np.ndarray = np.exp(-limited(raw[:, :P]))[:, :, None] * lower
    return scale


def limited(raw: Any, tanh: Callable[[Any], Any] = np.tanh) -> Any:
    """Keep logarithms of errors inside their limits, smoothly."""
    middle, half = (LOG_HIGH + LOG_LOW) / 2, (LOG_HIGH - LOG_LOW) / 2
    return middle + half * tanh((raw - middle) / half)
