"""Warnings about a stamp: named bits of the column ``extraction_flags``."""

from __future__ import annotations

from enum import IntFlag


class Warnings(IntFlag):
    """Base of the bits of a column of flags; 0: nothing is known against a row."""

    meaning: str  #: For headers and documentation.
    #: Name of the bit of `Flag` that a bit of another column repeats; "" where it repeats none.
    extraction: str

    def __new__(cls, bit: int, meaning: str = "", extraction: str = "") -> Warnings:
        """Make the member of one bit."""
        flag = int.__new__(cls, bit)
        flag._value_, flag.meaning, flag.extraction = bit, meaning, extraction
        return flag

    @property
    def label(self) -> str:
        """The bit's name in lower case, as in catalogues and messages."""
        return str(self.name).lower()


class Flag(Warnings):
    """Bits of ``extraction_flags``."""

    NEIGHBOUR = 1, "neighbours hold more than 10% of the flux detected in the stamp"
    BLENDED = 2, "part of the central segment's light has no counterpart across the centre"
    NEAR_EDGE = 4, "over 10% of the stamp and of the mesh around it lies beyond the data"
    BAD_PIXELS = 8, "the stamp holds pixels without data, set to the background"
    LOW_SIGNAL_TO_NOISE = 16, "the signal-to-noise ratio is below extraction.low_signal_to_noise"
    NOISE_DISAGREES = 32, "the empty pixels scatter twice, or half, as much as in the weight map"
    STAR = 64, "no wider than the PSF"
    SATURATED = 128, "pixels above extraction.saturation, or a core as flat as a clipped one"
    COINCIDENT = 256, "another object of the catalogue lies within one pixel"


#: Meaning of each bit by its name, in the order of the bits.
FLAGS = {flag.label: flag.meaning for flag in Flag}


def names(bits: int, column: type[Warnings] = Flag) -> list[str]:
    """Name the bits that are set in a column of flags."""
    return [flag.label for flag in column if flag & bits]
