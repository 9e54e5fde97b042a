"""The network's measurements refined by the pixels, and the two answers fused."""

from __future__ import annotations

from typing import NamedTuple

import galsim
import numpy as np

from galadapt.fitting.fusion import Fusion, answers
from galadapt.fitting.refine import Refined, Refiner
from galadapt.general.parameters import SIDE
from galadapt.general.run import Measured


class Outcome(NamedTuple):
    """Final measurements of n stamps."""

    measured: Measured
    followed: np.ndarray  #: (n,) how far the pixels were followed: 0 the network, 1 the fit
    refined: Refined
    disagree: np.ndarray  #: (n,) bool: pixels and network disagree
    tail: np.ndarray  #: (n, 8), see `galadapt.fitting.fusion.Fused`


def profile_of(psf: np.ndarray) -> galsim.GSObject:
    """Profile of a PSF's image (S, S) of even side, centred in the middle of four pixels."""
    return galsim.InterpolatedImage(
        galsim.Image(np.asarray(psf, float), scale=1.0), x_interpolant=galsim.Lanczos(15)
    ).withFlux(1.0)


def refiner_of(psf: np.ndarray, correlation: np.ndarray | None) -> Refiner:
    """Refiner for the image of a PSF; see `profile_of`."""
    return Refiner(profile_of(psf), SIDE, correlation)


def refine(
    found: Measured,
    images: np.ndarray,
    valid: np.ndarray,
    noise: np.ndarray,
    refiner: Refiner,
    fusion: Fusion,
    exposure_time: float | None = None,
    sky_error: float | None = None,
) -> Outcome:
    """Refine measurements; see `galadapt.fitting.refine` and `galadapt.fitting.fusion`.

    Args:
        found: The network's.
        images: (n, S, S), background-subtracted.
        valid: (n, S, S) bool, pixels that count.
        noise: (n,) rms of a pixel.
        refiner: Of the images' PSF and noise.
        fusion: Of the package.
        exposure_time, sky_error: See `Refiner.__call__`.
    """
    refined = refiner(
        *(images, noise, found.theta, found.covariance, valid, exposure_time, sky_error)
    )
    width = np.full(len(noise), refiner.width)
    given = answers(found.values, found.errors, refined, noise, valid.mean(axis=(1, 2)), width)
    fused = fusion.fuse(given, refined.covariance)
    followed = fused.gate[:, [0, 1, 2, -1]].mean(axis=1)
    return Outcome(
        Measured(*fused[:4], found.features),
        np.where(refined.converged, followed, 0.0),
        refined,
        refined.converged & (refined.tension > fusion.disagree),
        fused.tail,
    )
