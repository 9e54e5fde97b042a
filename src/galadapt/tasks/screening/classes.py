"""OBS_CLASS: how much of the exposed field is flagged.

Source: the 2XMM and 4XMM catalogues' column OBS_CLASS (Watson et al. 2009, A&A 493, 339; Webb et
al. 2020, A&A 641, A136): 0 means that nothing is flagged, 5 that all is; between them the area
flagged is below 0.1 %, 1 %, 10 % and 100 % of the detection mask. Here the field is every pixel
that lies on a live chip inside the field of view.
"""

from __future__ import annotations

import numpy as np

from galadapt.core.errors import DataError

CLASSES = ("0", "1", "2", "3", "4", "5")  #: names of the classes, in order
_BOUNDS = np.array([1e-3, 1e-2, 1e-1, 1.0])  #: from these shares on a field is of the next class
BEGINS = (0.0, 0.0, *_BOUNDS.tolist())  #: flagged share at which each class begins
_ROUNDING = 1e-9  #: rounding of a share that counts pixels


def obs_class_of_fraction(fraction: np.ndarray | float) -> np.ndarray:
    """OBS_CLASS, 0 to 5, of flagged over exposed area (0 to 1, any shape).

    Raises:
        DataError: a share is not between 0 and 1.
    """
    share = np.asarray(fraction, float)
    if not ((share >= 0) & (share <= 1 + _ROUNDING)).all():
        raise DataError(
            "masked fraction: values must lie between 0 and 1; divide the flagged by the exposed "
            "area"
        )
    number = 1 + np.searchsorted(_BOUNDS, share + _ROUNDING, side="right")
    return np.where(share > 0, number, 0)


def pixels_of_class(number: int, exposed: int) -> tuple[int, int]:
    """Fewest and most flagged pixels that make a class in a field of `exposed` pixels.

    The second is below the first where the field is too small for the class.
    """
    if number == 0:
        return 0, 0
    if number == len(CLASSES) - 1:
        return exposed, exposed
    bounds = np.array(BEGINS[number : number + 2]) * exposed
    fewest, beyond = np.ceil(bounds - _ROUNDING * exposed).astype(int).tolist()
    return max(fewest, 1), beyond - 1
