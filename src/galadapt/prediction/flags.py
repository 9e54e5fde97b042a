"""Warnings about a measurement: the bits of the column `flags`."""

from __future__ import annotations

from galadapt.core.extraction_flags import Warnings, names

#: chi2 beyond which a model is poor. Of the demo's test galaxies 99 % of the simulated ones and
#: 96 % of the mock survey's, which have arms and bars, lie below (benchmarks/trust).
POOR_CHI2 = 15.0


class Flag(Warnings):
    """Bits of the column `flags`; those that repeat one of the extraction name it."""

    NO_STAMP = 1 << 0, "not measured; see the column reason"
    OUT_OF_RANGE = 1 << 1, "a prediction lies outside the training's range; no error is reported"
    UNLIKE_TRAINING = 1 << 2, "the stamp differs from all stamps of the training"
    NOISE_UNLIKE = 1 << 3, "noise below 1/3 or above 3 times the training's"
    PSF_UNLIKE = 1 << 4, "the PSF's width differs by over 10 % from the training's"
    DUPLICATE_ID = 1 << 5, "another row of the catalogue has the same id"
    NEIGHBOUR = (
        1 << 6,
        "neighbours give over 10 % of the detected flux, or cover over 10 % of the galaxy's own",
        "neighbour",
    )
    BLENDED = (
        1 << 7,
        "part of the light has no counterpart on the other side of the centre",
        "blended",
    )
    EDGE = 1 << 8, "close to the edge of the data", "near_edge"
    BAD_PIXELS = 1 << 9, "pixels without data or weight in the stamp", "bad_pixels"
    LOW_SIGNAL_TO_NOISE = 1 << 10, "signal-to-noise below 10", "low_signal_to_noise"
    NOISE_DISAGREES = (
        1 << 11,
        "noise of the pixels below half or above twice that of the weight map",
        "noise_disagrees",
    )
    STAR_LIKE = 1 << 12, "no wider than the PSF", "star"
    SATURATED = 1 << 13, "saturated pixels", "saturated"
    COINCIDENT = 1 << 14, "another object of the catalogue within one pixel", "coincident"
    FLUX_DISAGREES = 1 << 15, "flux of the detected pixels differs from that of the predicted model"
    PIXELS_DISAGREE = (
        1 << 16,
        "a fit of the pixels differs from a prediction by over 3 times its error",
    )
    POOR_MODEL = 1 << 17, f"the predicted model leaves large residuals (chi2 above {POOR_CHI2:g})"
    NOISE_CORRELATION = (
        1 << 18,
        "correlation of the noise differs from the training's; not confirmed otherwise",
    )
    NO_PSF = 1 << 19, "no PSF was given: that of the training is assumed"
    CUT = 1 << 20, "over 3 % of the predicted model's light lies outside the image"
    UNCONFIRMED = (
        1 << 21,
        "fainter than the valid range or near a limit of it, and not confirmed by the pixels; see "
        "the column unconfirmed",
    )
    FIT_FAILED = 1 << 22, "the refinement by the pixels failed; the network's values are given"
    FIT_DISAGREES = 1 << 23, "the fit of the pixels and the network disagree"
    UNDETECTED_LIGHT = 1 << 24, "over half of the predicted light lies where no light was detected"
    PSF_DISAGREES = (
        1 << 25,
        "point sources of the image are over 10 % narrower or wider than the PSF, or elongated "
        "otherwise",
    )


#: What to do about each flag.
REMEDIES = {
    Flag.NO_STAMP: "Read the column reason; there is no measurement.",
    Flag.OUT_OF_RANGE: "Do not use the object, or take a package trained on such galaxies.",
    Flag.UNLIKE_TRAINING: "Look at it; errors mean little for what the networks have not seen.",
    Flag.NOISE_UNLIKE: "Check zero point, unit and weight map; or train at this depth "
    "(galadapt configure).",
    Flag.PSF_UNLIKE: "Train with this PSF (galadapt configure); radii and indices are biased.",
    Flag.DUPLICATE_ID: "Match by position instead of by identifier.",
    Flag.NEIGHBOUR: "Look at the residual: a neighbour's light may have been kept or masked badly.",
    Flag.BLENDED: "Deblend the catalogue, or leave the object out where shapes matter.",
    Flag.EDGE: "Sky and wings are less certain here: prefer another image of the object.",
    Flag.BAD_PIXELS: "Look at it; a bad pixel in the core spoils the measurement.",
    Flag.LOW_SIGNAL_TO_NOISE: "Use the magnitude alone, with its error.",
    Flag.NOISE_DISAGREES: "Check the weight map (variance or rms?, its scale).",
    Flag.STAR_LIKE: "Probably a star: radius and index have no meaning.",
    Flag.SATURATED: "Do not use; take a shorter exposure.",
    Flag.COINCIDENT: "Remove the duplicates of the catalogue.",
    Flag.FLUX_DISAGREES: "Do not use the magnitude; look at the residual. segment_magnitude is no "
    "substitute for a total: it lacks the light outside of the detected pixels.",
    Flag.PIXELS_DISAGREE: "Fit the object with a profile fitter (galadapt fit-check compares).",
    Flag.POOR_MODEL: "Look at the residual: structure, a neighbour, or a wrong PSF. Residuals "
    "can be visible without this flag: look at chi2 too.",
    Flag.NOISE_CORRELATION: "Compare with simulations of this noise, or train with it "
    "(galadapt configure).",
    Flag.NO_PSF: "Give --psf.",
    Flag.CUT: "Of a cutout: give a larger one. Of a whole mosaic: the object is near its edge, or "
    "its model has wings that reach beyond; that light is extrapolated.",
    Flag.UNCONFIRMED: "The column unconfirmed names a quantity and a limit; the truth may lie "
    "beyond. Do not use shapes; use magnitudes only without flux_disagrees and undetected_light.",
    Flag.FIT_FAILED: "The values and errors are the network's; look at the residual.",
    Flag.FIT_DISAGREES: "Look at the residual: a neighbour, structure, or a wrong PSF.",
    Flag.UNDETECTED_LIGHT: "Do not use the magnitude: wings this faint depend on the sky and on "
    "other objects' light.",
    Flag.PSF_DISAGREES: "Do not use any value: measure again with the image's own PSF (add "
    "--psf-from-stars, which fits the PSF to the stars), or correct --psf-pixel-scale.",
}

#: Flags with which a magnitude is not to be used.
NO_MAGNITUDE = int(
    Flag.NO_STAMP
    | Flag.OUT_OF_RANGE
    | Flag.UNLIKE_TRAINING
    | Flag.NOISE_UNLIKE
    | Flag.SATURATED
    | Flag.COINCIDENT
    | Flag.FLUX_DISAGREES
    | Flag.UNDETECTED_LIGHT
    | Flag.PSF_DISAGREES
)

#: Flags with which radius, Sersic index and ellipticity are not to be used.
NO_SHAPE = NO_MAGNITUDE | int(
    Flag.PSF_UNLIKE
    | Flag.NEIGHBOUR
    | Flag.BLENDED
    | Flag.BAD_PIXELS
    | Flag.LOW_SIGNAL_TO_NOISE
    | Flag.STAR_LIKE
    | Flag.PIXELS_DISAGREE
    | Flag.POOR_MODEL
    | Flag.UNCONFIRMED
    | Flag.FIT_FAILED
    | Flag.FIT_DISAGREES
)


def of_extraction(bits: int) -> int:
    """Translate the extraction's bits (`galadapt.core.extraction_flags`) into bits of `Flag`."""
    found = names(bits)
    return sum(int(flag) for flag in Flag if flag.extraction in found)
