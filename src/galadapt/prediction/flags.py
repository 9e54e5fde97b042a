"""Warnings about a measurement: the bits of the column `flags`."""

from __future__ import annotations

from galadapt.core.extraction_flags import Warnings, names


class Flag(Warnings):
    """Bits of the column `flags`; those that repeat one of the extraction name it."""

    NO_STAMP = 1 << 0, "not measured; see the column reason"
    OUT_OF_RANGE = 1 << 1, "a prediction lies outside the training's range; no error is reported"
    UNLIKE_TRAINING = 1 << 2, "the stamp is unlike those of the training"
    NOISE_UNLIKE = 1 << 3, "noise below 1/3 or above 3 times the training's"
    PSF_UNLIKE = 1 << 4, "the PSF's width differs by over 10 % from the training's"
    DUPLICATE_ID = 1 << 5, "another row of the catalogue has the same id"
    NEIGHBOUR = 1 << 6, "neighbours hold over 10 % of the detected flux", "neighbour"
    BLENDED = 1 << 7, "part of the light has no counterpart across the centre", "blended"
    EDGE = 1 << 8, "close to the edge of the data", "near_edge"
    BAD_PIXELS = 1 << 9, "pixels without data or weight in the stamp", "bad_pixels"
    LOW_SIGNAL_TO_NOISE = 1 << 10, "signal-to-noise below 10", "low_signal_to_noise"
    NOISE_DISAGREES = (
        1 << 11,
        "scatter of the pixels twice or half that of the weight map",
        "noise_disagrees",
    )
    STAR_LIKE = 1 << 12, "no wider than the PSF", "star"
    SATURATED = 1 << 13, "saturated pixels", "saturated"
    COINCIDENT = 1 << 14, "another object of the catalogue within one pixel", "coincident"


def of_extraction(bits: int) -> int:
    """Translate the extraction's bits (`galadapt.core.extraction_flags`) into bits of `Flag`."""
    found = names(bits)
    return sum(int(flag) for flag in Flag if flag.extraction in found)
