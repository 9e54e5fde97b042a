"""Magnitudes, fluxes and zero points.

A zero point is the AB magnitude of 1 image unit. Two zero points that differ are converted exactly,
however little they differ. Where a header and an option contradict each other the option counts,
and a warning names both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from galadapt.core.errors import DataError

Number = TypeVar("Number", float, np.ndarray, Any)

#: Zero points this close do not contradict each other [mag]: headers and handbooks round them.
_ROUNDING = 0.005


def flux_of(magnitude: Number, zero_point: float) -> Number:
    """Flux [image unit] of a magnitude."""
    return 10 ** (-0.4 * (magnitude - zero_point))


def magnitude_of(flux: Any, zero_point: float) -> Any:
    """Magnitude of a flux [image unit]."""
    return zero_point - 2.5 * np.log10(flux)


def fainter(magnitude: float, share: float) -> float:
    """Magnitude of a share of the light."""
    return float(magnitude_of(share, magnitude))


def rescaling(zero_point: float, wanted: float) -> float:
    """Factor that brings fluxes from one zero point to another."""
    return float(10 ** (0.4 * (wanted - zero_point)))


def known_rescaling(zero_point: float | None, wanted: float, path: Path, option: str) -> float:
    """The same of an image; a DataError, which names the option to give, without a zero point."""
    if zero_point is None:
        raise DataError(
            f"{path}: the zero point is in no header card; give {option}, the AB magnitude of 1 "
            "image unit"
        )
    return rescaling(zero_point, wanted)


def stmag_zero_point(photflam: float, photplam: float) -> float:
    """AB zero point of an HST image by its PHOTFLAM and PHOTPLAM (HST data handbooks)."""
    return float(-2.5 * np.log10(photflam) - 5 * np.log10(photplam) - 2.408)


def choose_zero_point(
    option: float | None,
    header: float | None,
    source: str,
    path: Path,
    remark: Callable[[str], None],
) -> float | None:
    """Choose between the zero point given and that of the header; the option counts.

    Args:
        source: What in the header gives it, for the messages.
        remark: Called with a warning if the two contradict each other.

    Raises:
        DataError: the one that counts is no AB magnitude of anything.
    """
    if option is not None and not abs(option) <= 60:
        raise DataError(
            f"{path}: --zero-point {option:g} is no AB magnitude of one unit; correct it"
        )
    if option is None:
        if header is not None and abs(header) > 60:
            raise DataError(
                f"{path}: the zero point by {source} is {header:g}, which is no AB magnitude of "
                "one unit; repair the header or give --zero-point"
            )
        return header
    if header is not None and abs(header - option) > _ROUNDING:
        remark(
            f"{path}: the zero point by {source} is {header:.4f}, --zero-point is "
            f"{option:.4f}, which is used"
        )
    return option


def draw_magnitude(
    rng: np.random.Generator, bright: float, faint: float, slope: float, size: int | None = None
) -> Any:
    """Draw magnitudes from number counts N(<m) ~ 10^(slope m), by their inverse."""
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.log10(rng.uniform(low, high, size)) / slope
