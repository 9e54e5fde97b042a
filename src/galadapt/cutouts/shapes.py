"""Small measures of an object's core: how wide it is, and whether its top is cut off."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

FWHM = 2 * np.sqrt(2 * np.log(2))  #: FWHM of a Gaussian in units of its standard deviation

#: A core is flat when more than this share of its area at half maximum lies within 5% of the
#: maximum. For a Sersic profile the share is (ln(1/0.95) / ln 2)^(2n): 0.07 for a Gaussian, 0.21
#: for n = 0.3.
_FLAT_SHARE = 0.35

#: A flat core holds at least so many pixels, each so many sigma bright.
_FLAT_AREA, _FLAT_SIGMA = 5, 50.0


def windowed_fwhm(image: np.ndarray, x: float, y: float, psf_fwhm: float) -> float:
    """Width of the core at (x, y), from second moments in a Gaussian window.

    The window keeps neighbours and noise out; its own width, 1.5 times the PSF's, is taken out
    again as if the object were a Gaussian: 1 / T = 1 / sigma^2 + 1 / window^2. Measure the PSF's
    image with the same function to compare with it. The image is background-subtracted; x, y and
    `psf_fwhm` are in pixels.

    Returns:
        FWHM [px]; infinite when the object is too wide for the window, NaN when there is no light.
    """
    window = 1.5 * psf_fwhm / FWHM
    reach = int(np.ceil(4 * window)) + 1
    x0, y0 = max(round(x) - reach, 0), max(round(y) - reach, 0)
    light = image[y0 : round(y) + reach + 1, x0 : round(x) + reach + 1].astype(float)
    columns = np.arange(light.shape[1]) + float(x0)
    rows = np.arange(light.shape[0]) + float(y0)
    for _ in range(4):
        weighted = (
            np.exp(-0.5 * ((rows - y) / window) ** 2)[:, None]
            * np.exp(-0.5 * ((columns - x) / window) ** 2)
            * light
        )
        total = weighted.sum()
        if not total > 0:
            return float("nan")
        along_x, along_y = weighted.sum(axis=0), weighted.sum(axis=1)
        moment = ((columns - x) ** 2 @ along_x + (rows - y) ** 2 @ along_y) / (2 * total)
        # Doubling the shift undoes the pull of the window towards its own centre.
        shift_x = 2 * float((columns - x) @ along_x / total)
        shift_y = 2 * float((rows - y) @ along_y / total)
        if abs(shift_x) + abs(shift_y) < 0.01:
            break
        x += float(np.clip(shift_x, -1, 1))
        y += float(np.clip(shift_y, -1, 1))
    if not moment > 0:
        return float("nan")
    inverse = 1 / moment - 1 / window**2
    return float(FWHM / np.sqrt(inverse)) if inverse > 0 else float("inf")


def flat_core(image: np.ndarray, x: int, y: int, rms: float) -> bool:
    """Tell whether the core around the brightest pixel (x, y) is as flat as a saturated one.

    The image is background-subtracted; `rms` is the noise of a pixel.
    """
    peak = float(image[y, x])
    if not peak > _FLAT_SIGMA * rms:
        return False
    reach = 24
    near = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    place = (y - max(y - reach, 0), x - max(x - reach, 0))
    areas = []
    for level in (0.95, 0.5):
        labels, _ = label(near >= level * peak)
        areas.append(int((labels == labels[place]).sum()))
    return areas[0] >= _FLAT_AREA and areas[0] > _FLAT_SHARE * areas[1]
