"""The configuration model: the one source of schema, defaults, validation and documentation.

An experiment is the product task x variant x method x seed. Every key below is documented by its
``description``; ``config/README.md`` and ``config/schema.json`` are generated from this file
(``galadapt config document``) and a test fails when they drift.

Each stage of the pipeline reads one subset of the configuration, given by `Config.settings_for`:
these subsets are what decides what a change reruns.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from galadapt.errors import ConfigError

#: The four structural parameters of R1, in the order of every table.
PARAMETERS = ("magnitude", "effective_radius", "sersic_index", "ellipticity")

#: Unit of each parameter wherever it is stored.
UNITS = {
    "magnitude": "mag",
    "effective_radius": "pix",
    "sersic_index": "",
    "ellipticity": "",
    "position_angle": "deg",
    "x_offset": "pix",
    "y_offset": "pix",
}

#: Where rendering is exact: GalSim's (and our) Sersic transforms hold inside this interval.
SERSIC_INDEX_LIMITS = (0.3, 6.2)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are immutable and finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(Section):
    """A closed interval [low, high]."""

    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError("give an interval as [low, high]")
            return {"low": value[0], "high": value[1]}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self

    @model_serializer
    def _pair(self) -> list[float]:
        return [self.low, self.high]

    def within(self, other: Interval) -> bool:
        """Tell whether this interval lies inside `other`."""
        return other.low <= self.low and self.high <= other.high


# --- what a stamp is ------------------------------------------------------------------------


class Image(Section):
    """The stamps: size, sampling and photometric system."""

    stamp_size: int = Field(64, ge=16, le=1024, description="Side of a square stamp [px]; even.")
    pixel_scale: Positive = Field(0.06, description="Pixel scale [arcsec/px].")
    zero_point: float = Field(
        25.9463, gt=0, lt=40, description="AB magnitude of 1 e-/s. WFC3/IR F160W: 25.9463."
    )
    band: str = Field("F160W", description="Name of the band, for headers and plots.")

    @field_validator("stamp_size")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"must be even, not {value}")
        return value


class OpticalPsf(Section):
    """A space telescope's PSF from its optics (galsim.OpticalPSF), jitter and charge diffusion."""

    kind: Literal["optical"] = "optical"
    wavelength: Positive = Field(1536.9, description="Effective wavelength [nm].")
    diameter: Positive = Field(2.4, description="Aperture diameter [m].")
    obscuration: float = Field(0.33, ge=0, lt=1, description="Linear central obscuration.")
    struts: int = Field(4, ge=0, description="Number of support struts.")
    defocus: float = Field(0.0, description="Defocus aberration [waves].")
    astigmatism: float = Field(0.0, description="Astigmatism in both axes [waves].")
    coma: float = Field(0.0, description="Coma in both axes [waves].")
    blur: float = Field(
        0.06,
        ge=0,
        description=(
            "Gaussian sigma of jitter, diffusion and drizzling [arcsec]; 0.06 gives the width "
            "(0.19) of CANDELS' F160W PSF."
        ),
    )


class FitsPsf(Section):
    """An effective PSF image (pixel included) in a FITS file."""

    kind: Literal["fits"] = "fits"
    path: str = Field(description="FITS file; environment variables are expanded.")
    hdu: int = Field(0, ge=0, description="Extension that holds the image.")
    pixel_scale: Positive = Field(0.06, description="Sampling of the PSF image [arcsec/px].")


class GaussianPsf(Section):
    """A round Gaussian PSF, for tests."""

    kind: Literal["gaussian"] = "gaussian"
    fwhm: Positive = Field(0.18, description="Full width at half maximum [arcsec].")


class MoffatPsf(Section):
    """A round Moffat PSF, for tests and ground-based images."""

    kind: Literal["moffat"] = "moffat"
    fwhm: Positive = Field(0.18, description="Full width at half maximum [arcsec].")
    beta: float = Field(3.0, gt=1.1, description="Moffat exponent.")


Psf = Annotated[OpticalPsf | FitsPsf | GaussianPsf | MoffatPsf, Field(discriminator="kind")]


# --- simulation -----------------------------------------------------------------------------


class Uniform(Section):
    """A uniform prior."""

    distribution: Literal["uniform"] = "uniform"
    low: float
    high: float


class LogUniform(Section):
    """A prior uniform in the logarithm."""

    distribution: Literal["loguniform"] = "loguniform"
    low: Positive
    high: Positive


class Empirical(Section):
    """Values of a catalogue's galaxies; parameters naming the same file come from one galaxy."""

    distribution: Literal["empirical"] = "empirical"
    path: str = Field(description="CSV, FITS or Parquet; environment variables are expanded.")
    column: str = Field(description="Column of this parameter.")
    factor: Positive = Field(
        1.0, description="What the column is multiplied by: 16.667 for arcsec to 0.06 arcsec px."
    )
    low: float = Field(description="Galaxies below are left out.")
    high: float = Field(description="Galaxies above are left out.")


class MagnitudeRelation(Section):
    """A log-normal radius whose median follows the magnitude, cut at the limits."""

    distribution: Literal["magnitude_relation"] = "magnitude_relation"
    median: Positive = Field(description="Median semi-major radius at `at_magnitude` [px].")
    at_magnitude: float = Field(22.0, description="Magnitude of that median [mag].")
    slope: float = Field(-0.1, description="d log10 r_e / d magnitude [dex/mag].")
    scatter: Positive = Field(0.25, description="Standard deviation of log10 r_e [dex].")
    low: Positive
    high: Positive


Prior = Annotated[Uniform | LogUniform | Empirical, Field(discriminator="distribution")]
RadiusPrior = Annotated[
    Uniform | LogUniform | Empirical | MagnitudeRelation, Field(discriminator="distribution")
]


class Priors(Section):
    """Distributions the simulated galaxies are drawn from. Defaults: R1's ranges."""

    magnitude: Prior = Field(
        Uniform(low=16.0, high=27.0), description="Total AB magnitude of the profile."
    )
    effective_radius: RadiusPrior = Field(
        Uniform(low=1.3, high=50.2),
        description="Semi-major axis of the half-light ellipse [px] (GALFIT's convention).",
    )
    sersic_index: Prior = Field(Uniform(low=0.3, high=6.2), description="Sersic index n.")
    ellipticity: Prior = Field(
        Uniform(low=0.0, high=0.95),
        description="1 - b/a. R1 prints 0 to 1; e = 1 has no image, so 0.95 is the default.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Priors:
        for name in PARAMETERS:
            prior = getattr(self, name)
            if not prior.low < prior.high:
                raise ValueError(f"{name}: low {prior.low:g} must be below high {prior.high:g}")
        low, high = SERSIC_INDEX_LIMITS
        if self.sersic_index.low < low or self.sersic_index.high > high:
            raise ValueError(f"sersic_index: must lie inside [{low}, {high}]")
        if self.effective_radius.low <= 0:
            raise ValueError("effective_radius: must be positive")
        if self.ellipticity.low < 0 or self.ellipticity.high > 0.99:
            raise ValueError("ellipticity: must lie inside [0, 0.99]")
        return self

    def interval(self, parameter: str) -> Interval:
        """Return the range of one parameter."""
        prior = getattr(self, parameter)
        return Interval(low=prior.low, high=prior.high)


class MosaicNoise(Section):
    """Real sky noise: patches without sources, cut from a mosaic that you own.

    The mosaic is cut into three bands that share no pixel, one for each split.
    """

    directory: str = Field(description="Folder of both files; environment variables expand.")
    drz: str = Field(description="Mosaic [e-/s] with a WCS, at the pixel scale of the stamps.")
    wht: str = Field(description="Weight map of the mosaic; pixels without weight are not used.")
    detection_threshold: Positive = Field(1.5, description="Sources are masked above [sigma].")
    detection_area: int = Field(8, ge=1, description="Smallest source masked [px].")
    growth: int = Field(4, ge=0, le=64, description="Pixels by which the source mask grows.")
    max_masked: Fraction = Field(
        0.02,
        description=(
            "Largest share of masked pixels in a patch; they are replaced by drizzled noise of "
            "the mosaic's rms."
        ),
    )


class Noise(Section):
    """Noise of a drizzled mosaic: correlated sky noise plus correlated source Poisson noise."""

    kind: Literal["drizzle", "mosaic"] = Field(
        "drizzle", description="Noise that is drawn, or cut from a mosaic (simulations only)."
    )
    mosaic: MosaicNoise | None = Field(None, description="The mosaic of kind: mosaic.")
    depth: Literal["wide", "deep", "ultradeep", "none"] = Field(
        "wide",
        description=(
            "Depth the defaults stand for: CANDELS wide or deep, the ultra-deep field; none draws "
            "no noise."
        ),
    )
    pixel_rms: Positive | None = Field(
        None,
        description=(
            "Sky rms per pixel [e-/s]; null: the depth's (wide .0051, deep .0024, ultradeep "
            ".00054)."
        ),
    )
    exposure_time: Positive | None = Field(
        None, description="Exposure [s] for source noise; null: the depth's."
    )
    pixfrac: float = Field(0.8, gt=0, le=1, description="Drizzle drop size over detector pixel.")
    detector_pixel: Positive = Field(
        2.14,
        le=8,
        description=(
            "Detector pixel over output pixel (WFC3/IR: 0.1283 over 0.06 arcsec); with pixfrac it "
            "sets the correlation of neighbouring pixels, 0.52 by default."
        ),
    )
    source_poisson: bool = Field(True, description="Add the galaxy's own photon noise.")

    @model_validator(mode="after")
    def _kinds(self) -> Noise:
        if (self.kind == "mosaic") != (self.mosaic is not None):
            raise ValueError("kind: mosaic and the section mosaic belong together; give both")
        if self.kind == "mosaic" and self.depth == "none":
            raise ValueError("depth: none contradicts kind: mosaic; leave one of them out")
        if self.kind == "mosaic" and self.pixel_rms is not None:
            raise ValueError("pixel_rms: is measured in the mosaic; leave it out")
        return self


# --- realism: every section is off when absent ----------------------------------------------


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
        Strength(low=0.0, high=1.0), description="Share of the median at the edge subtracted."
    )

    @model_validator(mode="after")
    def _possible(self) -> OverSubtraction:
        _check_range("fraction", self.fraction, 0.0, 2.0)
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


class Simulation(Section):
    """The simulated stamps the networks learn from."""

    n_train: int = Field(50_000, ge=8, description="Training stamps.")
    n_validation: int = Field(10_000, ge=4, description="Validation stamps.")
    n_test: int = Field(10_000, ge=4, description="Test stamps.")
    shards: int = Field(8, ge=1, le=1000, description="Files (and parallel jobs) of simulation.")
    renderer: Literal["ktable", "ktable_jax", "galsim"] = Field(
        "ktable",
        description=(
            "What draws the noiseless image: ktable (exact transforms from a table), ktable_jax "
            "(the same on an accelerator, needs JAX), galsim (the slow reference)."
        ),
    )
    memory_limit: Positive = Field(
        2048.0, description="Memory one galaxy's transform may take [MiB]; more is an error."
    )
    priors: Priors = Field(Priors(), description="Where the parameters are drawn from.")
    sersic_index_step: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0,
        description=(
            "Indices are rounded to this step, and the rounded value is the label; 0 leaves them "
            "continuous. GalSim caches one transform per index: with the renderer galsim a step "
            "of 0.05 is much faster."
        ),
    )
    radius_convention: Literal["semimajor", "circularised"] = Field(
        "semimajor",
        description=(
            "The stored label effective_radius: the semi-major axis (GALFIT) or that times "
            "sqrt(b/a). Priors are always of the semi-major axis; catalogues of surveys are too."
        ),
    )
    max_offset: float = Field(
        0.5, ge=0, le=4, description="Largest sub-pixel offset of the centre, per axis [px]."
    )
    noise: Noise = Field(Noise(), description="Noise added to the rendered image.")
    realism: Realism = Field(
        Realism(), description="Composite galaxies, instrument and archive: off unless given."
    )

    @model_validator(mode="after")
    def _noise_to_scale(self) -> Simulation:
        realism = self.realism
        masks = realism.archive and realism.archive.masks
        if self.noise.depth == "none" and (realism.depth or realism.sky or masks):
            raise ValueError(
                "noise.depth: none leaves realism.depth, realism.sky and realism.archive.masks "
                "without a unit; switch them off or the noise on"
            )
        return self

    @property
    def total(self) -> int:
        """Number of stamps over all splits."""
        return self.n_train + self.n_validation + self.n_test

    def shard_start(self, shard: int) -> int:
        """Index of the first galaxy of a shard; that of shard k + 1 ends shard k."""
        return shard * self.total // self.shards


# --- surveys --------------------------------------------------------------------------------


class MockSurvey(Section):
    """A survey in CANDELS' file formats, of galaxies the training simulator does not make."""

    kind: Literal["mock"] = "mock"
    n_galaxies: int = Field(
        2000, ge=20, description="Galaxies brighter than catalog_limit: the catalogue's length."
    )
    density: Positive = Field(
        125.0,
        description=(
            "Galaxies brighter than catalog_limit per square arcmin. The real sky holds about 35 "
            "to 23.5 mag: the default packs 3.5 skies into one mosaic, to keep it small."
        ),
    )
    faint_ratio: float = Field(
        1.0,
        ge=0,
        le=10,
        description="Galaxies between catalog_limit and faint_limit, per catalogued galaxy.",
    )
    bright_limit: float = Field(18.0, description="Brightest magnitude drawn.")
    catalog_limit: float = Field(
        23.5, description="Magnitude beyond which galaxies are on the mosaic but not catalogued."
    )
    faint_limit: float = Field(25.5, description="Faintest magnitude drawn.")
    magnitude_slope: Positive = Field(0.26, description="d log10 N / d mag of the number counts.")
    psf_broadening: float = Field(
        0.05, ge=0, description="Gaussian sigma that broadens the training PSF [arcsec]."
    )
    psf_ellipticity: float = Field(
        0.04, ge=0, lt=0.5, description="Largest PSF ellipticity, varying over the field."
    )
    structure: float = Field(
        1.0, ge=0, le=3, description="Strength of arms, bars and clumps; 0 leaves bulge and disc."
    )
    sky_residual: float = Field(
        0.3, ge=0, description="Amplitude of the background left in the mosaic [pixel rms]."
    )
    noise: Noise = Field(Noise(), description="Noise of the mosaic where the weight is typical.")
    fit_scatter: float = Field(
        1.0, ge=0, description="Scatter of catalogue values in units of their quoted errors."
    )

    @model_validator(mode="after")
    def _ordered(self) -> MockSurvey:
        if not self.bright_limit < self.catalog_limit < self.faint_limit:
            raise ValueError(
                f"bright_limit {self.bright_limit:g}, catalog_limit {self.catalog_limit:g} and "
                f"faint_limit {self.faint_limit:g} must increase in this order"
            )
        if self.noise.depth == "none":
            raise ValueError("noise.depth: none leaves the weight map without a meaning")
        if self.noise.kind == "mosaic":
            raise ValueError("noise.kind: mosaic is for simulations; leave it out here")
        return self


class CosmosSurvey(Section):
    """Real HST/ACS F814W galaxies (a GalSim RealGalaxyCatalog) seen through another PSF."""

    kind: Literal["cosmos"] = "cosmos"
    directory: str = Field(description="Folder of the catalogue; environment variables expand.")
    catalog: str = Field(
        "real_galaxy_catalog_23.5_example.fits", description="Catalogue file in the folder."
    )
    source_zero_point: float = Field(25.94, description="AB zero point of the stamps [for 1 s].")
    source_pixel_scale: Positive = Field(0.03, description="Pixel scale of the fits [arcsec/px].")
    max_galaxies: int = Field(
        2000, ge=1, le=10_000, description="Only the first so many galaxies of the catalogue."
    )
    box_cut: list[Positive] = Field(
        [3.0, 6.0],
        min_length=2,
        max_length=2,
        description=(
            "Steps at the edge of the source box [pixel rms] from which on a galaxy gets flag 1 "
            "and flag 2: how bright its Sersic model still is where its image was cut off."
        ),
    )
    noise: Noise = Field(Noise(), description="Noise added after the PSF.")

    @model_validator(mode="after")
    def _noisy(self) -> CosmosSurvey:
        if self.noise.depth == "none":
            raise ValueError("noise.depth: none leaves the weight map without a meaning")
        if self.noise.kind == "mosaic":
            raise ValueError("noise.kind: mosaic is for simulations; leave it out here")
        return self


Survey = Annotated[MockSurvey | CosmosSurvey, Field(discriminator="kind")]


class Selection(Section):
    """Which catalogue objects are measured: good flags, values inside the simulated ranges."""

    max_flag: int = Field(
        0, ge=0, le=3, description="Largest GALFIT flag kept (0 good, 1 suspicious)."
    )
    magnitude: Interval = Field(Interval(low=16.0, high=25.0), description="[mag]")
    effective_radius: Interval = Field(Interval(low=1.5, high=31.6), description="[px]")
    sersic_index: Interval = Field(Interval(low=0.3, high=6.2), description="Kept indices.")
    ellipticity: Interval = Field(Interval(low=0.1, high=0.95), description="Kept 1 - b/a.")
    min_signal_to_noise: float = Field(0.0, ge=0, description="Smallest catalogue S/N kept.")


class Extraction(Section):
    """Cutting stamps out of the mosaic and judging them."""

    background_box: int = Field(
        48, ge=8, description="Mesh of the 2-D background [px]; sources are masked first."
    )
    detection_threshold: Positive = Field(1.5, description="Segmentation threshold [sigma].")
    detection_area: int = Field(8, ge=1, description="Smallest segment [px].")
    max_neighbour_fraction: Fraction = Field(
        0.5,
        description="Reject when neighbours hold more than this share of the detected flux.",
    )
    max_bad_fraction: Fraction = Field(
        0.0, description="Reject when more than this share of the pixels is NaN or has no weight."
    )


class Splits(Section):
    """How survey objects are split, by a hash of their identifier and the seed."""

    train: Fraction = Field(0.5, description="Share for training (labels used if a method may).")
    validation: Fraction = Field(0.15, description="Share for early stopping.")

    @model_validator(mode="after")
    def _leaves_a_test(self) -> Splits:
        if self.train + self.validation >= 1:
            raise ValueError("train + validation must be below 1, to leave a test set")
        return self


# --- variants -------------------------------------------------------------------------------


class IntervalStep(Section):
    """Scale each stamp into [0, 1] between limits."""

    step: Literal["interval"] = "interval"
    kind: Literal["minmax", "zscale", "manual"] = Field(
        "minmax", description="astropy's interval; manual has fixed limits."
    )
    low: float | None = Field(None, description="Lower limit of manual [unit of the input].")
    high: float | None = Field(None, description="Upper limit of manual [unit of the input].")

    @model_validator(mode="after")
    def _limits(self) -> IntervalStep:
        given = self.low is not None or self.high is not None
        if self.kind != "manual":
            if given:
                raise ValueError(f"low and high belong to the manual interval, not {self.kind}")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("a manual interval needs low and high, low below high")
        return self


class Stretch(Section):
    """Apply one of astropy's stretches to [0, 1]-scaled stamps (after an interval step)."""

    step: Literal["stretch"] = "stretch"
    kind: Literal["linear", "asinh", "log", "sqrt", "power", "sinh"] = Field(
        "asinh", description="astropy.visualization stretch."
    )
    a: Positive | None = Field(
        None, description="The stretch's parameter; null: astropy's default (power: 2)."
    )

    @model_validator(mode="after")
    def _parameter(self) -> Stretch:
        if self.a is None:
            return self
        if self.kind in ("linear", "sqrt"):
            raise ValueError(f"the stretch '{self.kind}' takes no parameter a")
        if self.kind in ("asinh", "sinh") and self.a > 1:
            raise ValueError(f"the stretch '{self.kind}' needs a in (0, 1], not {self.a:g}")
        return self


class NoiseAsinh(Section):
    """arcsinh(x / (softening x sigma)): linear at the noise, logarithmic above; invertible."""

    step: Literal["noise_asinh"] = "noise_asinh"
    softening: Positive = Field(3.0, description="Where the curve bends [pixel noise sigma].")


class Divide(Section):
    """Divide by a constant, as R1 printed (255)."""

    step: Literal["divide"] = "divide"
    by: Positive = Field(255.0, description="Divisor.")


class Rebin(Section):
    """Average square blocks of pixels."""

    step: Literal["rebin"] = "rebin"
    factor: int = Field(2, ge=1, le=16, description="Block side [px].")


Step = Annotated[Rebin | Divide | NoiseAsinh | IntervalStep | Stretch, Field(discriminator="step")]


# --- networks and training ------------------------------------------------------------------


class Network(Section):
    """A network from the registry in `galadapt.models.networks`."""

    architecture: Literal["compact", "r1_baseline", "r1_dann"] = Field(
        "compact",
        description="compact: small, for CPUs; r1_baseline and r1_dann: R1's two networks.",
    )
    output_activation: Literal["linear", "relu"] = Field(
        "linear", description="R1 prints relu, which cannot reach negative standardised targets."
    )
    first_padding: Literal["same", "valid"] = Field(
        "same", description="Padding of the first convolution; R1 prints none ('valid')."
    )
    l2: float = Field(1e-4, ge=0, description="L2 penalty on every convolution (r1_baseline).")
    dropout: float = Field(
        1e-4, ge=0, lt=1, description="Dropout before each dense layer (r1_baseline)."
    )
    input_normalisation: Literal["global", "none"] = Field(
        "global",
        description=(
            "global: subtract the mean and divide by the standard deviation of all training "
            "pixels. none: R1 as printed, where batch normalisation comes first and its epsilon "
            "(1e-3) swamps the variance of pixels divided by 255."
        ),
    )


class Adversarial(Section):
    """Domain-adversarial alignment (DANN, Ganin & Lempitsky 2015)."""

    kind: Literal["dann"] = "dann"
    weight: Fraction = Field(
        0.1, description="alpha: loss = (1 - alpha) regression + alpha cross-entropy."
    )
    reversal: Literal["gradient", "sign_flip"] = Field(
        "gradient",
        description="gradient: identity forward, -lambda gradient. sign_flip: R1 as printed.",
    )
    schedule: Literal["ramp", "constant"] = Field(
        "ramp", description="ramp: lambda = lambda_max (2 / (1 + exp(-gamma p)) - 1)."
    )
    gamma: Positive = Field(10.0, description="Steepness of the ramp.")
    lambda_max: float = Field(1.0, ge=0, description="Final lambda.")
    match_labels: bool = Field(
        False,
        description=(
            "Weigh simulated stamps in the domain loss so that their PREDICTED parameters are "
            "distributed as the survey's, renewed every epoch. Aligning populations that differ "
            "in their labels wrecks a regressor; no survey label is used."
        ),
    )
    masking: Literal["per_example", "fixed_vector"] = Field(
        "per_example",
        description=(
            "Which labels are hidden: each example's own weight, or one fixed vector over shuffled "
            "batches as R1 printed."
        ),
    )


class Method(Section):
    """How one network is trained: on which domains, with which labels, from which start."""

    description: str = Field("", description="One line for tables and the MLflow page.")
    network: Network = Field(Network(), description="What is trained.")
    domains: list[Literal["simulated", "survey"]] = Field(
        ["simulated"], min_length=1, max_length=2, description="Where training stamps come from."
    )
    survey_labels: bool = Field(
        False, description="Whether survey labels may be used, in training and in early stopping."
    )
    starts_from: Name | None = Field(
        None, description="Method whose trained weights are the start; null: random weights."
    )
    trainable: Literal["all", "dense"] = Field(
        "all", description="dense freezes the convolutions (only with starts_from)."
    )
    alignment: Adversarial | None = Field(None, description="Domain alignment term; null: none.")
    balance_domains: bool = Field(
        True, description="Every batch holds as many simulated as survey stamps."
    )
    loss: Literal["mae", "mse"] = Field("mae", description="Regression loss.")
    learning_rate: Positive = Field(1e-4, description="Adam's learning rate.")
    learning_rate_schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="constant: as R1. cosine: falls to 0 over `epochs`, best for few epochs.",
    )
    augment: bool = Field(
        False, description="Turn and mirror every training stamp at random (8 orientations)."
    )
    batch_size: int = Field(16, ge=2, description="Stamps per step.")
    epochs: int = Field(100, ge=1, description="At most this many epochs.")
    patience: int = Field(10, ge=1, description="Epochs without improvement before stopping.")
    max_magnitude: float | None = Field(
        None, description="Drop fainter stamps in training and testing (R1's baseline: 23)."
    )
    n_simulated: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Use only this many simulated training stamps; null: all."
    )
    n_survey: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Use only this many survey training stamps; null: all."
    )

    @model_validator(mode="after")
    def _possible(self) -> Method:
        if len(set(self.domains)) != len(self.domains):
            raise ValueError("domains: each domain only once")
        if self.domains == ["survey"] and not self.survey_labels:
            raise ValueError("domains: training on the survey alone needs survey_labels: true")
        if self.survey_labels and "survey" not in self.domains:
            raise ValueError("survey_labels: true needs 'survey' in domains")
        if self.alignment and len(self.domains) < 2:
            raise ValueError("alignment: needs both domains, [simulated, survey]")
        if self.trainable == "dense" and self.starts_from is None:
            raise ValueError("trainable: dense needs starts_from, or the features stay random")
        return self


class Compute(Section):
    """Where training runs. Not part of any run's identity."""

    backend: Literal["tensorflow", "jax", "torch"] = Field(
        "tensorflow", description="Keras backend."
    )
    gpus_per_training: int = Field(
        0, ge=0, description="GPUs a training job requests (resources: gpu); 0 runs on the CPU."
    )
    threads_per_training: int = Field(
        1,
        ge=1,
        description="CPU threads of one training job; results do not depend on --cores.",
    )


class Evaluation(Section):
    """How predictions are judged."""

    magnitude_bins: list[float] = Field(
        [16, 20, 21, 22, 23, 25, 27], min_length=2, description="Edges of the magnitude bins."
    )
    outlier: dict[str, Positive] = Field(
        {"magnitude": 0.5, "effective_radius": 0.5, "sersic_index": 0.3, "ellipticity": 0.25},
        description="|error| beyond which a value is an outlier (relative for re, dex for n).",
    )
    valid: dict[str, Interval] = Field(
        {
            "magnitude": Interval(low=10.0, high=35.0),
            "effective_radius": Interval(low=0.1, high=200.0),
            "sersic_index": Interval(low=0.1, high=10.0),
            "ellipticity": Interval(low=-0.05, high=1.0),
        },
        description="A prediction outside cannot be meant, and counts against completeness.",
    )
    bootstrap: int = Field(
        500, ge=50, le=100_000, description="Resamples of the test set for the interval of R2."
    )

    @field_validator("magnitude_bins")
    @classmethod
    def _increasing(cls, value: list[float]) -> list[float]:
        if any(low >= high for low, high in itertools.pairwise(value)):
            raise ValueError(f"edges must increase, not {value}")
        return value

    @field_validator("outlier", "valid")
    @classmethod
    def _every_parameter(cls, value: dict[str, Any]) -> dict[str, Any]:
        if set(value) != set(PARAMETERS):
            raise ValueError(f"must name exactly {', '.join(PARAMETERS)}, not {sorted(value)}")
        return value


class Tracking(Section):
    """MLflow."""

    uri: str = Field("sqlite:///mlflow.db", description="Tracking store.")
    experiment: str = Field("galadapt", description="Prefix of the experiment's name.")


# --- the whole ------------------------------------------------------------------------------


class Run(NamedTuple):
    """One cell of the experiment: what one training job makes."""

    task: str
    variant: str
    method: str
    seed: int


class Config(Section):
    """A whole experiment."""

    preset: Name = Field("demo", description="Name of the experiment, in tables and MLflow.")
    results: str = Field("results", description="Folder of everything computed (relative).")
    seed: int = Field(
        2026, ge=0, lt=2**32, description="Seed of simulation, mock survey and splits."
    )
    task: Literal["structure"] = Field("structure", description="What is predicted.")
    seeds: list[int] = Field([1, 2, 3], min_length=1, description="Training seeds.")
    variants: list[Name] = Field(min_length=1, description="Chains (of variant_chains) to run.")
    methods: list[Name] = Field(min_length=1, description="Methods (of method_settings) to run.")
    image: Image = Field(Image(), description="What a stamp is.")
    psf: Psf = Field(OpticalPsf(), description="PSF of the simulation.")
    simulation: Simulation = Field(Simulation(), description="The simulated stamps.")
    survey: Survey = Field(MockSurvey(), description="The survey: mock or cosmos.")
    selection: Selection = Field(Selection(), description="Cuts on the survey's catalogue.")
    extraction: Extraction = Field(Extraction(), description="Cutouts from the mosaic.")
    splits: Splits = Field(Splits(), description="Survey training, validation and test.")
    variant_chains: dict[Name, list[Step]] = Field(description="Named chains of steps.")
    method_settings: dict[Name, Method] = Field(description="Named ways to train.")
    evaluation: Evaluation = Field(Evaluation(), description="Metrics.")
    tracking: Tracking = Field(Tracking(), description="MLflow.")
    compute: Compute = Field(Compute(), description="Hardware; never part of a run's identity.")

    @field_validator("results")
    @classmethod
    def _relative(cls, value: str) -> str:
        path = Path(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                "must be a relative path inside the project, so that a clone does not rerun"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} names a seed twice")
        for key, names, known in (
            ("variants", self.variants, sorted(self.variant_chains)),
            ("methods", self.methods, sorted(self.method_settings)),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{key}: {names} names something twice")
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: '{name}' is not defined; known: {known}")
        self._check_selection()
        self._check_chains()
        self._check_starts()
        return self

    def _check_selection(self) -> None:
        for name in PARAMETERS:
            wanted: Interval = getattr(self.selection, name)
            made = self.simulation.priors.interval(name)
            if not wanted.within(made):
                raise ValueError(
                    f"selection.{name} [{wanted.low:g}, {wanted.high:g}] must lie inside the "
                    f"simulated range [{made.low:g}, {made.high:g}] (simulation.priors.{name}): "
                    "a network cannot be trusted outside it"
                )

    def _check_chains(self) -> None:
        for name in self.variants:
            size = self.image.stamp_size
            scaled = False
            for step in self.variant_chains[name]:
                if isinstance(step, Rebin):
                    if size % step.factor:
                        raise ValueError(
                            f"variant_chains.{name}: stamps of {size} px are not divisible by the "
                            f"rebin factor {step.factor}"
                        )
                    size //= step.factor
                if isinstance(step, Stretch) and not scaled:
                    raise ValueError(
                        f"variant_chains.{name}: the stretch '{step.kind}' needs an interval step "
                        "before it"
                    )
                scaled = scaled or isinstance(step, IntervalStep)
            if size < 16:
                raise ValueError(f"variant_chains.{name}: leaves {size} px, fewer than 16")

    def _check_starts(self) -> None:
        for name in self.methods:
            method = self.method_settings[name]
            if method.max_magnitude is not None:
                made = self.simulation.priors.interval("magnitude")
                if not made.low < method.max_magnitude:
                    raise ValueError(
                        f"method_settings.{name}.max_magnitude {method.max_magnitude:g} leaves "
                        f"nothing of the simulated magnitudes from {made.low:g}"
                    )
            seen = [name]
            while (start := self.method_settings[seen[-1]].starts_from) is not None:
                if start not in self.methods:
                    raise ValueError(
                        f"method_settings.{seen[-1]}.starts_from: '{start}' must be one of "
                        f"methods {self.methods}"
                    )
                if start in seen:
                    raise ValueError(f"method_settings.{name}.starts_from: goes in a circle")
                if self.method_settings[start].network != self.method_settings[seen[-1]].network:
                    raise ValueError(
                        f"method_settings.{seen[-1]}: starts from '{start}' but has another network"
                    )
                seen.append(start)

    def runs(self) -> Iterator[Run]:
        """Expand the experiment: the only place where the product is formed."""
        for variant, method, seed in itertools.product(self.variants, self.methods, self.seeds):
            yield Run(self.task, variant, method, seed)


def load(*paths: str | Path) -> Config:
    """Read one or more YAML files, later ones over earlier ones, and validate the result.

    Raises:
        ConfigError: one sentence naming the file, the key and the remedy.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such configuration file; see config/presets") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            line = " ".join(str(error).split())
            raise ConfigError(f"{path}: not valid YAML: {line}") from None
        if not isinstance(loaded, dict):
            raise ConfigError(f"{path}: must hold keys and values; see config/README.md")
        merged = merge(merged, loaded)
    return validate(merged, ", ".join(str(path) for path in paths))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries as Snakemake merges configuration files; lists are replaced."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def validate(values: dict[str, Any], where: str) -> Config:
    """Validate plain values; `where` names their origin in the message.

    Raises:
        ConfigError: the first problem, as one sentence.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    # Discriminator tags are steps of pydantic's path, not keys a user wrote.
    keys = [str(part) for part in first["loc"]]
    key = ".".join(keys) or "configuration"
    more = f" ({error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(keys[-1], _all_keys(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; see config/README.md"
        return f"{key}: unknown key{hint}{more}"
    if first["type"] == "missing":
        return f"{key}: is required; see config/README.md{more}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{message}{more}" if not keys else f"{key}: {message}{more}"
    given = json.dumps(first["input"], default=str)
    return f"{key}: {message[0].lower()}{message[1:]}, not {given[:80]}{more}"


def _all_keys() -> list[str]:
    keys: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            keys.update(node.get("properties", {}))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(Config.model_json_schema())
    return sorted(keys)
