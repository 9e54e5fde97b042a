"""What single-Sersic stamps lack: composite galaxies, the instrument, the archive."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import SERSIC_INDEX_LIMITS, Fraction, Interval, Positive, Section


class Strength(Interval):
    """A range [low, high] from which every galaxy draws its own strength, uniformly."""


class BulgeDisc(Section):
    """Some galaxies are a bulge and a disc; labels are those of the single Sersic that fits."""

    probability: Fraction = Field(0.5, description="Share of the galaxies that are composite.")
    bulge_fraction: Strength = Field(Strength(low=0.1, high=0.7), description="Bulge over total.")
    bulge_index: Strength = Field(Strength(low=1.5, high=5.0), description="Bulge's Sersic index.")
    bulge_radius: Strength = Field(
        Strength(low=0.15, high=0.6), description="Bulge's effective radius over the disc's."
    )

    @model_validator(mode="after")
    def _possible(self) -> BulgeDisc:
        _check_range("bulge_fraction", self.bulge_fraction, 0.0, 1.0)
        _check_range("bulge_index", self.bulge_index, *SERSIC_INDEX_LIMITS)
        _check_range("bulge_radius", self.bulge_radius, 0.05, 1.0)
        return self


class Clumps(Section):
    """Part of a disc's light (or of a galaxy of index up to 2.5) gathered into compact knots."""

    fraction: Strength = Field(Strength(low=0.0, high=0.25), description="Share of the light.")
    count: int = Field(6, ge=1, le=50, description="Most knots per galaxy; the least is 1.")
    radius: Strength = Field(
        Strength(low=0.05, high=0.25), description="Effective radius of a knot over the galaxy's."
    )

    @model_validator(mode="after")
    def _possible(self) -> Clumps:
        _check_range("fraction", self.fraction, 0.0, 0.9)
        _check_range("radius", self.radius, 0.01, 1.0)
        return self


class Spiral(Section):
    """Logarithmic spiral arms that modulate a disc (or a galaxy of index up to 2.5)."""

    amplitude: Strength = Field(
        Strength(low=0.0, high=0.6), description="Relative amplitude, before the PSF blurs it."
    )
    pitch: Strength = Field(Strength(low=10.0, high=35.0), description="Pitch angle [deg].")
    max_arms: int = Field(4, ge=2, le=6, description="Most arms; the least is 2.")

    @model_validator(mode="after")
    def _possible(self) -> Spiral:
        _check_range("amplitude", self.amplitude, 0.0, 1.0)
        _check_range("pitch", self.pitch, 2.0, 80.0)
        return self


class Neighbours(Section):
    """Other galaxies in the stamp, at the density and with the sizes of the real sky."""

    density: Strength = Field(
        Strength(low=50.0, high=160.0),
        description=(
            "Galaxies brighter than faint_limit per square arcmin. COSMOS has 108 to 25.5 mag in "
            "F160W (van der Wel et al. 2014); stamps lie in richer and poorer places."
        ),
    )
    bright_limit: float = Field(19.0, description="Brightest magnitude.")
    faint_limit: float = Field(25.5, description="Faintest magnitude.")
    magnitude_slope: Positive = Field(
        0.27, description="d log10 N / d mag; 0.27 between 22 and 25 mag in the same catalogue."
    )
    min_separation: float = Field(
        0.5, ge=0, description="Nearer ones would be one catalogue object [arcsec]."
    )

    @model_validator(mode="after")
    def _possible(self) -> Neighbours:
        _check_range("density", self.density, 0.0, 5000.0)
        if not self.bright_limit < self.faint_limit:
            raise ValueError(
                f"bright_limit {self.bright_limit:g} must be below faint_limit {self.faint_limit:g}"
            )
        return self


class PsfJitter(Section):
    """A PSF that differs from stamp to stamp: wider and elongated, never sharper."""

    blur: Strength = Field(
        Strength(low=0.0, high=0.04), description="Gaussian sigma the PSF is blurred with [arcsec]."
    )
    ellipticity: Strength = Field(
        Strength(low=0.0, high=0.05),
        description="(a^2 - b^2) / (a^2 + b^2) given to a round Gaussian of the PSF's width.",
    )

    @model_validator(mode="after")
    def _possible(self) -> PsfJitter:
        _check_range("blur", self.blur, 0.0, 2.0)
        _check_range("ellipticity", self.ellipticity, 0.0, 0.5)
        return self


class SkyResidual(Section):
    """A background that the reduction left: a constant and a gradient."""

    level: Strength = Field(
        Strength(low=-0.2, high=0.2), description="Constant [pixel rms], of either sign."
    )
    gradient: Strength = Field(
        Strength(low=0.0, high=0.3), description="Rise from side to side of the stamp [pixel rms]."
    )


class IsophoteBox(Section):
    """A rectangle around the galaxy's isophote: how the COSMOS archive cut its stamps.

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

    The same boxes described this way: median 2.2, scatter 0.33 in the logarithm.
    """

    kind: Literal["ratio"] = "ratio"
    median: float = Field(2.2, ge=0.3, le=50, description="Half-side over half-light extent.")
    scatter: float = Field(0.33, ge=0, le=1, description="Scatter of ln(size).")
    axis_scatter: float = Field(0.10, ge=0, le=1, description="Further scatter of each axis.")
    min_half_size: Positive = Field(0.4, description="Smallest half-side [arcsec].")


Box = Annotated[IsophoteBox | RatioBox, Field(discriminator="kind")]


class Masks(Section):
    """Neighbours cut out of the stamp and replaced by noise."""

    probability: Fraction = Field(1.0, description="Share of the stamps whose neighbours are cut.")
    threshold: Positive = Field(
        1.0, description="Cut where a neighbour outshines this [pixel rms] and the galaxy."
    )
    growth: int = Field(2, ge=0, le=32, description="Pixels by which the masks grow.")


class OverSubtraction(Section):
    """The galaxy's own wings taken for background: the light at the box's edge is subtracted."""

    fraction: Strength = Field(
        Strength(low=0.0, high=1.0),
        description=(
            "Share of the median at the edge subtracted. Negative: background left in the box."
        ),
    )

    @model_validator(mode="after")
    def _possible(self) -> OverSubtraction:
        _check_range("fraction", self.fraction, -1.0, 2.0)
        return self


class Edges(Section):
    """Stamps at the border of the mosaic: a strip at one side has no data."""

    probability: Fraction = Field(0.05, description="Share of the stamps that lack a strip.")
    width: Strength = Field(
        Strength(low=0.05, high=0.3), description="Width of the strip over the stamp's side."
    )
    fill: Literal["zero", "noise"] = Field(
        "zero", description="What stands there: zeros, or sky noise without any source."
    )

    @model_validator(mode="after")
    def _possible(self) -> Edges:
        _check_range("width", self.width, 0.0, 0.5)
        return self


class Archive(Section):
    """What cutting, masking and cleaning did to archived stamps before you see them."""

    box: Box | None = Field(None, description="Light outside a box is gone.")
    masks: Masks | None = Field(None, description="Neighbours are masked; needs neighbours.")
    over_subtraction: OverSubtraction | None = Field(None, description="Wings subtracted as sky.")
    edges: Edges | None = Field(None, description="Strips without data.")


class Realism(Section):
    """What separates a real stamp from a single Sersic profile plus noise. All off: R1.

    Each ingredient draws from its own random stream: switching one on changes no other draw. None
    shares code or recipe with the mock survey, which would make that survey a test of itself.
    """

    bulge_disc: BulgeDisc | None = Field(None, description="Composite galaxies.")
    clumps: Clumps | None = Field(None, description="Knots of star formation.")
    spiral: Spiral | None = Field(None, description="Spiral arms.")
    neighbours: Neighbours | None = Field(None, description="Other galaxies in the stamp.")
    psf: PsfJitter | None = Field(None, description="PSF varying from stamp to stamp.")
    depth: Strength | None = Field(
        None, description="Factor on the sky rms; the exposure goes with its inverse square."
    )
    sky: SkyResidual | None = Field(None, description="Background residuals.")
    archive: Archive | None = Field(None, description="Effects of the archive.")

    @model_validator(mode="after")
    def _together(self) -> Realism:
        if self.depth is not None:
            _check_range("depth", self.depth, 0.1, 10.0)
        if self.archive and self.archive.masks and not self.neighbours:
            raise ValueError("archive.masks: there is nothing to mask; add neighbours")
        return self

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)


def _check_range(name: str, given: Interval, low: float, high: float) -> None:
    if given.low < low or given.high > high:
        raise ValueError(
            f"{name} [{given.low:g}, {given.high:g}] must lie inside [{low:g}, {high:g}]"
        )
