"""What can be wrong with one measurement: the bits of the column `flags`."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """Bits of the column `flags`; 0 means that nothing speaks against the measurement."""

    OUT_OF_RANGE = 1 << 0
    NEIGHBOUR = 1 << 1
    EDGE = 1 << 2
    LOW_SIGNAL_TO_NOISE = 1 << 3
    UNLIKE_TRAINING = 1 << 4
    NO_STAMP = 1 << 5
    NOISE_UNLIKE = 1 << 6
    PSF_UNLIKE = 1 << 7
    SATURATED = 1 << 8
    STAR_LIKE = 1 << 9
    BAD_PIXELS = 1 << 10
    DUPLICATE_ID = 1 << 11
    OFF_CENTRE = 1 << 12
    BACKGROUND = 1 << 13


#: What each bit says, for headers and documentation.
MEANING = {
    Flag.OUT_OF_RANGE: "a prediction lies outside the training's range",
    Flag.NEIGHBOUR: "neighbours hold a noticeable share of the detected flux",
    Flag.EDGE: "the stamp reaches beyond the image",
    Flag.LOW_SIGNAL_TO_NOISE: "signal-to-noise below 10",
    Flag.UNLIKE_TRAINING: "the stamp is unlike all the network was trained on",
    Flag.NO_STAMP: "not measured; the column reason says why",
    Flag.NOISE_UNLIKE: "noise below 1/3 or above 3 times the training's",
    Flag.PSF_UNLIKE: "the PSF's width differs by over 10 % from the training's",
    Flag.SATURATED: "saturated pixels",
    Flag.STAR_LIKE: "as compact as a star",
    Flag.BAD_PIXELS: "pixels without data or weight in the stamp",
    Flag.DUPLICATE_ID: "another row of the catalogue has the same id",
    Flag.OFF_CENTRE: "the light's peak is off the catalogue position",
    Flag.BACKGROUND: "the local background is uncertain",
}


def names(flags: int) -> str:
    """Name the bits of one value, separated by commas: "" for 0."""
    return ", ".join(flag.name.lower() for flag in Flag if flag & flags and flag.name)
