"""Realistic simulations: composite galaxies, the instrument, the archive."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import (
    SERSIC_INDEX_LIMITS,
    Fraction,
    Interval,
    Positive,
    Section,
    inside,
    interval,
)

#: A range [low, high] from which every galaxy draws its own strength, uniformly.
Strength = Interval


class BulgeDisc(Section):
    """Some galaxies are a bulge and a disc; labels are the best single Sersic fit."""

    probability: Fraction = Field(0.5, description="Share of the galaxies that are composite.")
    bulge_fraction: Annotated[Strength, inside(0, 1)] = interval(
        0.1, 0.7, "Flux of the bulge over the total."
    )
    bulge_index: Annotated[Strength, inside(*SERSIC_INDEX_LIMITS)] = interval(
        1.5, 5.0, "Sersic index of the bulge."
    )
    bulge_radius: Annotated[Strength, inside(0.05, 1)] = interval(
        0.15, 0.6, "Effective radius of the bulge over the disc's."
    )


class Clumps(Section):
    """Part of a disc's light (or of a galaxy of index up to 2.5) gathered into compact knots."""

    fraction: Annotated[Strength, inside(0, 0.9)] = interval(0.0, 0.25, "Share of the light.")
    count: int = Field(
        6, ge=1, le=50, description="Largest number of knots per galaxy (smallest: 1)."
    )
    radius: Annotated[Strength, inside(0.01, 1)] = interval(
        0.05, 0.25, "Effective radius of a knot over the galaxy's."
    )


class Spiral(Section):
    """Logarithmic spiral arms that modulate a disc (or a galaxy of index up to 2.5)."""

    amplitude: Annotated[Strength, inside(0, 1)] = interval(
        0.0, 0.6, "Relative amplitude, before the PSF blurs it."
    )
    pitch: Annotated[Strength, inside(2, 80)] = interval(10.0, 35.0, "Pitch angle [deg].")
    max_arms: int = Field(4, ge=2, le=6, description="Largest number of arms (smallest: 2).")


class Neighbours(Section):
    """Other galaxies in the stamp, at the density and with the sizes of the real sky."""

    density: Annotated[Strength, inside(0, 5000)] = interval(
        50.0,
        160.0,
        "Galaxies brighter than faint_limit per square arcmin. COSMOS has 108 to 25.5 mag in F160W "
        "(van der Wel et al. 2014); the density varies over the sky.",
    )
    bright_limit: float = Field(19.0, description="Brightest magnitude.")
    faint_limit: float = Field(25.5, description="Faintest magnitude.")
    magnitude_slope: Positive = Field(
        0.27, description="d log10 N / d mag; 0.27 between 22 and 25 mag in the same catalogue."
    )
    min_separation: float = Field(
        0.5,
        ge=0,
        description="Smallest distance [arcsec]; closer pairs would be one catalogue object.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Neighbours:
        if not self.bright_limit < self.faint_limit:
            raise ValueError(
                f"bright_limit {self.bright_limit:g} must be below faint_limit {self.faint_limit:g}"
            )
        return self


class PsfJitter(Section):
    """A PSF that differs from stamp to stamp: wider and elongated, never sharper."""

    blur: Annotated[Strength, inside(0, 2)] = interval(
        0.0, 0.04, "Gaussian sigma the PSF is blurred with [arcsec]."
    )
    ellipticity: Annotated[Strength, inside(0, 0.5)] = interval(
        0.0, 0.05, "(a^2 - b^2) / (a^2 + b^2) given to a round Gaussian of the PSF's width."
    )


class SkyResidual(Section):
    """Background left by the reduction: a constant and a gradient."""

    level: Strength = interval(-0.2, 0.2, "Constant [pixel rms], of either sign.")
    gradient: Strength = interval(0.0, 0.3, "Rise from side to side of the stamp [pixel rms].")


class IsophoteBox(Section):
    """A rectangle around an isophote of the galaxy, like the stamps of the COSMOS archive.

    Measured on 81 of GalSim's 82 example galaxies (F814W < 22.5) against their Sersic fits: the
    half-sides are 1.00 times the extents of the isophote of 24.5 mag/arcsec^2, with a scatter of
    0.12 common to both axes and 0.10 of each axis (in the logarithm, 1 sigma), and no trend with
    index or radius.
    """

    kind: Literal["isophote"] = "isophote"
    surface_brightness: float = Field(
        24.5, gt=15, lt=35, description="Isophote the box encloses [AB mag/arcsec^2]."
    )
    scatter: float = Field(0.12, ge=0, le=1, description="Scatter of ln(size).")
    axis_scatter: float = Field(0.10, ge=0, le=1, description="Further scatter of each axis.")
    min_half_size: Positive = Field(
        0.4, description="Smallest half-side [arcsec]; the smallest measured is 0.43."
    )


class RatioBox(Section):
    """A rectangle that scales with the galaxy's half-light extents, whatever its brightness.

    The boxes of the COSMOS archive have a median of 2.2 and a scatter of 0.33 in the logarithm.
    """

    kind: Literal["ratio"] = "ratio"
    median: float = Field(2.2, ge=0.3, le=50, description="Half-side over half-light extent.")
    scatter: float = Field(0.33, ge=0, le=1, description="Scatter of ln(size).")
    axis_scatter: float = Field(0.10, ge=0, le=1, description="Further scatter of each axis.")
    min_half_size: Positive = Field(0.4, description="Smallest half-side [arcsec].")


Box = Annotated[IsophoteBox | RatioBox, Field(discriminator="kind")]


class Masks(Section):
    """Neighbours replaced by noise."""

    probability: Fraction = Field(
        1.0, description="Share of the stamps whose neighbours are masked."
    )
    threshold: Positive = Field(
        1.0, description="Masked where a neighbour exceeds this [pixel rms] and the galaxy."
    )
    growth: int = Field(2, ge=0, le=32, description="Pixels by which the masks grow.")


class OverSubtraction(Section):
    """The galaxy's own wings subtracted as background: the light at the edge of its box."""

    fraction: Annotated[Strength, inside(-1, 2)] = interval(
        0.0,
        1.0,
        "Subtracted share of the median at the edge. Negative: background left in the box.",
    )


class Edges(Section):
    """Stamps at the border of the mosaic: a strip at one side has no data."""

    probability: Fraction = Field(0.05, description="Share of the stamps with such a strip.")
    width: Annotated[Strength, inside(0, 0.5)] = interval(
        0.05, 0.3, "Width of the strip over the stamp's side."
    )
    fill: Literal["zero", "noise"] = Field(
        "zero", description="Pixels of the strip: zeros, or sky noise without any source."
    )


class Archive(Section):
    """Effects of cutting, masking and cleaning on archived stamps."""

    box: Box | None = Field(None, description="Pixels outside a box are removed.")
    masks: Masks | None = Field(None, description="Neighbours are masked; needs neighbours.")
    over_subtraction: OverSubtraction | None = Field(None, description="Wings subtracted as sky.")
    edges: Edges | None = Field(None, description="Strips without data.")


class Realism(Section):
    """Differences between a real stamp and a single Sersic profile plus noise. All off by default.

    Each ingredient has its own random stream: switching one on does not change the others. None
    shares code or recipes with the mock survey, so that the survey is an independent test.
    """

    bulge_disc: BulgeDisc | None = Field(None, description="Composite galaxies.")
    clumps: Clumps | None = Field(None, description="Knots of star formation.")
    spiral: Spiral | None = Field(None, description="Spiral arms.")
    neighbours: Neighbours | None = Field(None, description="Other galaxies in the stamp.")
    psf: PsfJitter | None = Field(None, description="PSF varying from stamp to stamp.")
    depth: Annotated[Strength, inside(0.1, 10)] | None = Field(
        None, description="Factor on the sky rms; the exposure time scales with its inverse square."
    )
    sky: SkyResidual | None = Field(None, description="Background residuals.")
    archive: Archive | None = Field(None, description="Effects of the archive.")

    @model_validator(mode="after")
    def _together(self) -> Realism:
        if self.archive and self.archive.masks and not self.neighbours:
            raise ValueError("archive.masks: there is nothing to mask; add neighbours")
        return self

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)
