"""Warnings about a stamp: named bits of the column ``extraction_flags``."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """Bits of ``extraction_flags``; a stamp without any is 0."""

    NEIGHBOUR = 1
    BLENDED = 2
    NEAR_EDGE = 4
    BAD_PIXELS = 8
    LOW_SIGNAL_TO_NOISE = 16
    NOISE_DISAGREES = 32
    STAR = 64
    SATURATED = 128
    COINCIDENT = 256


#: Meaning of each bit, by its name in lower case, in the order of the bits.
FLAGS: dict[str, str] = {
    "neighbour": "neighbours hold more than 10% of the flux detected in the stamp",
    "blended": "part of the central segment's light has no counterpart across the centre",
    "near_edge": "over 10% of the stamp and of the mesh around it lies beyond the data",
    "bad_pixels": "the stamp holds pixels without data, set to the background",
    "low_signal_to_noise": "the signal-to-noise ratio is below extraction.low_signal_to_noise",
    "noise_disagrees": "the empty pixels scatter twice, or half, as much as in the weight map",
    "star": "no wider than the PSF",
    "saturated": "pixels above extraction.saturation, or a core as flat as a clipped one",
    "coincident": "another object of the catalogue lies within one pixel",
}


def names(flags: int) -> list[str]:
    """Name the bits that are set."""
    return [flag.name.lower() for flag in Flag if flags & flag and flag.name]
