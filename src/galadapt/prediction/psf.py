"""How wide a PSF is, measured one way for a model's and a user's."""

from __future__ import annotations

import math
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits

from galadapt.config.image import FitsPsf
from galadapt.simulation.psf import make_psf

#: Samples per pixel and side of the finely drawn image.
_FINE, _SIDE = 8, 400


def fwhm(psf: galsim.GSObject, pixel_scale: float) -> float:
    """Full width at half maximum [arcsec] of a circle as large as the area above half maximum.

    Args:
        psf: Effective PSF [arcsec].
        pixel_scale: Of its image [arcsec/px].
    """
    scale = pixel_scale / _FINE
    image = psf.drawImage(nx=_SIDE, ny=_SIDE, scale=scale, method="no_pixel", dtype=float).array
    area = np.count_nonzero(image > image.max() / 2)
    return 2 * math.sqrt(area / math.pi) * scale


def count_images(path: Path) -> int:
    """Number of images in a FITS file; 0 when it is none, which `fwhm_of_file` explains."""
    try:
        with fits.open(path) as hdus:
            return sum(hdu.is_image and len(hdu.shape) > 1 for hdu in hdus)
    except (OSError, ValueError, TypeError):
        return 0


def fwhm_of_file(path: Path, pixel_scale: float, image_pixel_scale: float) -> float:
    """Full width at half maximum [arcsec] of the PSF image in a FITS file.

    Args:
        path: FITS image of the effective PSF, pixel included.
        pixel_scale: Its sampling [arcsec/px].
        image_pixel_scale: Of the images it belongs to [arcsec/px].

    Raises:
        DataError: the file is missing, broken or contradicts `pixel_scale`.
    """
    coarsest = max(pixel_scale, image_pixel_scale)
    settings = FitsPsf(path=str(path), pixel_scale=pixel_scale)
    return fwhm(make_psf(settings, coarsest), coarsest)
