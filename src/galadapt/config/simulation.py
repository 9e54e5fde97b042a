"""The simulated stamps: priors, noise and rendering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import SERSIC_INDEX_LIMITS, Fraction, Interval, Positive, Section
from galadapt.config.image import Psf
from galadapt.config.realism import Realism
from galadapt.core.quantity import PARAMETERS


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
    """Values from a catalogue; parameters with the same file are taken from the same galaxy."""

    distribution: Literal["empirical"] = "empirical"
    path: str = Field(description="CSV, FITS or Parquet; environment variables are expanded.")
    column: str = Field(description="Column of this parameter.")
    factor: Positive = Field(
        1.0, description="Factor on the column: 16.667 converts arcsec to pixels of 0.06 arcsec."
    )
    low: float = Field(description="Galaxies below are left out.")
    high: float = Field(description="Galaxies above are left out.")


class MagnitudeRelation(Section):
    """A log-normal radius whose median depends on the magnitude, cut at the limits."""

    distribution: Literal["magnitude_relation"] = "magnitude_relation"
    median: Positive = Field(description="Median semi-major radius at `at_magnitude` [px].")
    at_magnitude: float = Field(22.0, description="Magnitude of that median [mag].")
    slope: float = Field(-0.1, description="d log10 r_e / d magnitude [dex/mag].")
    scatter: Positive = Field(0.25, description="Standard deviation of log10 r_e [dex].")
    low: Positive
    high: Positive


Prior = Annotated[Uniform | LogUniform | Empirical, Field(discriminator="distribution")]


RadiusPrior = Annotated[Prior | MagnitudeRelation, Field(discriminator="distribution")]


class Priors(Section):
    """Distributions of the simulated galaxies. Defaults: ranges of the CANDELS study."""

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
        description="1 - b/a. The CANDELS study goes up to 1, which has no image.",
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
        0.02, description="Largest share of masked pixels in a patch; drizzled noise fills them."
    )


class Noise(Section):
    """Noise of a drizzled mosaic: of the sky, and the Poisson noise of the sources.

    pixfrac times detector_pixel sets the correlation of neighbouring pixels, 0.52 by default.
    """

    kind: Literal["drizzle", "mosaic"] = Field(
        "drizzle", description="Noise that is drawn, or cut from a mosaic (simulations only)."
    )
    mosaic: MosaicNoise | None = Field(None, description="The mosaic of kind: mosaic.")
    depth: Literal["wide", "deep", "ultradeep", "none"] = Field(
        "wide", description="CANDELS wide or deep, or the ultra-deep field; none: no noise at all."
    )
    pixel_rms: Positive | None = Field(
        None,
        description="Sky rms per pixel [e-/s]; null: wide 0.0051, deep 0.0024, ultradeep 0.00051.",
    )
    exposure_time: Positive | None = Field(
        None, description="Exposure [s], for the photon noise of sources; null: the depth's."
    )
    pixfrac: float = Field(0.8, gt=0, le=1, description="Drizzle drop size over detector pixel.")
    detector_pixel: Positive = Field(
        2.14,
        le=8,
        description="Detector pixel over output pixel (WFC3/IR: 0.1283 over 0.06 arcsec).",
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


class Simulation(Section):
    """The simulated stamps the networks learn from."""

    n_train: int = Field(50_000, ge=8, description="Training stamps.")
    n_validation: int = Field(10_000, ge=4, description="Validation stamps.")
    n_test: int = Field(10_000, ge=4, description="Test stamps.")
    shards: int = Field(8, ge=1, le=1000, description="Files (and parallel jobs) of simulation.")
    renderer: Literal["ktable", "ktable_jax", "galsim"] = Field(
        "ktable",
        description=(
            "ktable: exact transforms from a table. ktable_jax: the same on an accelerator, needs "
            "JAX. galsim: the slow reference."
        ),
    )
    memory_limit: Positive = Field(
        2048.0,
        description="Largest memory for the transform of one galaxy [MiB]; more is an error.",
    )
    priors: Priors = Field(Priors(), description="Where the parameters are drawn from.")
    sersic_index_step: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0,
        description=(
            "Indices (and labels) are rounded to this step; 0: not at all. The renderer galsim is "
            "much faster with a step of 0.05, because it keeps one transform per index."
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


class FurtherSimulation(Simulation):
    """A further simulation that methods can learn from."""

    psf: Psf | None = Field(None, description="Its PSF; null: the experiment's.")
