"""Settings of the network for any image: what it is trained on, and how."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from galadapt.config.base import (
    Fraction,
    Interval,
    LogInterval,
    Positive,
    Section,
    inside,
    interval,
)
from galadapt.config.image import OnePsf, OpticalPsf


class PsfDraws(Section):
    """PSFs of the training: drawn at random, one per group of galaxies."""

    fwhm: LogInterval = interval(1.7, 7.5, "FWHM of the effective PSF [px], uniform in logarithm.")
    ellipticity: Annotated[Interval, inside(0, 0.5)] = interval(
        0.0, 0.25, "Logarithm of the axis ratio; small values are more frequent."
    )
    shares: list[Fraction] = Field(
        [0.3, 0.3, 0.15, 0.25],
        min_length=4,
        max_length=4,
        description="Moffat, obscured aperture with jitter, core with halo, `images`.",
    )
    images: list[OnePsf] = Field(
        [OpticalPsf(), OpticalPsf(defocus=0.04, coma=0.02)],
        min_length=1,
        description="PSFs whose shape is stretched to the drawn FWHM and turned.",
    )

    @model_validator(mode="after")
    def _some(self) -> PsfDraws:
        if not sum(self.shares) > 0:
            raise ValueError("shares: all are 0; give at least one family of PSFs a share")
        return self


class GeneralDraws(Section):
    """Galaxies, noise and archive effects of the training, in units of the pixels' noise."""

    psf: PsfDraws = PsfDraws()
    ln_flux: Interval = interval(4.3, 14.6, "ln of the total flux over the noise of a pixel.")
    effective_radius: LogInterval = interval(
        0.6, 42.0, "Semi-major half-light radius [px]: half of them uniform, half in logarithm."
    )
    sersic_index: Annotated[Interval, inside(0.3, 6.2)] = interval(
        0.3, 6.2, "Sersic index: half of them uniform, half in logarithm."
    )
    ellipticity: Annotated[Interval, inside(0, 0.95)] = interval(0.0, 0.92, "1 - b/a, uniform.")
    max_offset: float = Field(2.0, ge=0, le=8, description="Offset of the centre in x and y [px].")
    composite: Fraction = Field(0.25, description="Share with a bulge and a disc.")
    knots: Fraction = Field(0.1, description="Share with star-forming knots.")
    crowded: Fraction = Field(0.6, description="Share with neighbours.")
    neighbours: float = Field(4.0, ge=1, description="Mean number of neighbours of those.")
    masked: Fraction = Field(0.35, description="Share with masked pixels.")
    cutouts: Fraction = Field(
        0.2, description="Share of those that are cut out more closely than a stamp is wide."
    )
    sky: float = Field(0.05, ge=0, description="Scatter of the sky's error where it has one.")
    sky_known: Fraction = Field(0.5, description="Share without an error of the sky.")
    noise_error: float = Field(0.03, ge=0, description="Scatter of ln of the stated noise.")
    drop: Annotated[Interval, inside(0, 3)] = interval(
        0.3, 2.4, "Side of the drizzled drop [px] where the noise is correlated."
    )
    white: Fraction = Field(0.4, description="Share with white noise.")
    photons: LogInterval = interval(
        3.0, 300.0, "Sky noise of a pixel [electrons], which sets the photon noise of sources."
    )


class GeneralTraining(Section):
    """How the network is trained."""

    seed: int = Field(1, ge=0, description="Seed of everything random.")
    start: str | None = Field(
        None,
        description=(
            "Package whose network is trained further: `released` for the one that galadapt ships "
            "with, or a folder; null: weights are drawn at random, and warmed up."
        ),
    )
    batch: int = Field(128, ge=8, description="Stamps per step.")
    group: int = Field(32, ge=8, description="Galaxies that share a PSF and a noise field.")
    mixed: int = Field(4, ge=1, description="Batches that are mixed from one set of galaxies.")
    passes: int = Field(5, ge=1, description="Times a drawn galaxy is used, each with fresh noise.")
    warm_up: int = Field(400, ge=0, description="Steps of squared errors before the likelihood.")
    learning_rate: Positive = Field(1.5e-3, description="Of Adam, constant until the end phase.")
    end_steps: int = Field(600, ge=1, description="Steps of the end phase: rate falls to 0.")
    average: Fraction = Field(0.998, description="Decay of the moving average of the weights.")


class General(Section):
    """The whole recipe."""

    draws: GeneralDraws = GeneralDraws()
    training: GeneralTraining = GeneralTraining()
