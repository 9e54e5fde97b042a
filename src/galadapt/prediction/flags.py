"""What can be wrong with one measurement: the bits of the column `flags`."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """Bits of the column `flags`; 0 means that nothing speaks against the measurement."""

    NO_STAMP = 1 << 0
    OUT_OF_RANGE = 1 << 1
    UNLIKE_TRAINING = 1 << 2
    NOISE_UNLIKE = 1 << 3
    PSF_UNLIKE = 1 << 4
    DUPLICATE_ID = 1 << 5
    NEIGHBOUR = 1 << 6
    BLENDED = 1 << 7
    EDGE = 1 << 8
    BAD_PIXELS = 1 << 9
    LOW_SIGNAL_TO_NOISE = 1 << 10
    NOISE_DISAGREES = 1 << 11
    STAR_LIKE = 1 << 12
    SATURATED = 1 << 13
    COINCIDENT = 1 << 14


#: What each bit says, for headers and documentation.
MEANING = {
    Flag.NO_STAMP: "not measured; the column reason says why",
    Flag.OUT_OF_RANGE: "a prediction lies outside the training's range; no error is given",
    Flag.UNLIKE_TRAINING: "the stamp is unlike those the network knows",
    Flag.NOISE_UNLIKE: "noise below 1/3 or above 3 times the training's",
    Flag.PSF_UNLIKE: "the PSF's width differs by over 10 % from the training's",
    Flag.DUPLICATE_ID: "another row of the catalogue has the same id",
    Flag.NEIGHBOUR: "neighbours hold over 10 % of the detected flux",
    Flag.BLENDED: "part of the light has no counterpart across the centre",
    Flag.EDGE: "close to the edge of the data",
    Flag.BAD_PIXELS: "pixels without data or weight in the stamp",
    Flag.LOW_SIGNAL_TO_NOISE: "signal-to-noise below 10",
    Flag.NOISE_DISAGREES: "pixels scatter twice or half as much as the weight says",
    Flag.STAR_LIKE: "no wider than the PSF",
    Flag.SATURATED: "saturated pixels",
    Flag.COINCIDENT: "another object of the catalogue within one pixel",
}

#: Bits that the extraction decides, by its own names of them.
OF_EXTRACTION = {
    "neighbour": Flag.NEIGHBOUR,
    "blended": Flag.BLENDED,
    "near_edge": Flag.EDGE,
    "bad_pixels": Flag.BAD_PIXELS,
    "low_signal_to_noise": Flag.LOW_SIGNAL_TO_NOISE,
    "noise_disagrees": Flag.NOISE_DISAGREES,
    "star": Flag.STAR_LIKE,
    "saturated": Flag.SATURATED,
    "coincident": Flag.COINCIDENT,
}


def names(flags: int) -> list[str]:
    """Name the bits that are set."""
    return [flag.name.lower() for flag in Flag if flag & flags and flag.name]
