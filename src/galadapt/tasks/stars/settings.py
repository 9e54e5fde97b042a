"""Star images: simulated frames or the user's own, detection of their stars, splits by frame."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import Fraction, Interval, Positive, Section, Shares, inside, interval
from galadapt.tasks.class_experiment import ClassExperiment

#: Classes of the shape of stars, in the order of every table.
STAR_CLASSES = ("circular", "comet", "donut")


_MAX_STARS = 200_000  #: largest expected number of stars in a frame


class FrameCounts(Section):
    """Simulated frames of one class."""

    train: int = Field(ge=0, le=10_000, description="Frames for training.")
    validation: int = Field(ge=0, le=10_000, description="Frames for early stopping.")
    test: int = Field(ge=0, le=10_000, description="Frames for testing.")
    density: Positive = Field(
        1.0, description="Density of their stars, in units of `star_density`: rich or poor fields."
    )


class SimulatedFrames(Section):
    """Simulated CCD frames of star fields: atmosphere, optics, tracking and detector."""

    kind: Literal["simulated"] = "simulated"
    circular: FrameCounts = Field(
        FrameCounts(train=36, validation=10, test=12, density=1.2),
        description="Frames in focus, well tracked.",
    )
    comet: FrameCounts = Field(
        FrameCounts(train=10, validation=8, test=12, density=0.8),
        description="Frames with coma, with tracking drift, or with both.",
    )
    donut: FrameCounts = Field(
        FrameCounts(train=7, validation=12, test=24, density=0.08),
        description="Frames out of focus, through an aperture with a central obscuration.",
    )
    side: int = Field(1024, ge=128, le=8192, description="Side of a frame [px].")
    pixel_scale: Positive = Field(0.58, description="Pixel scale [arcsec/px].")
    exposure: Positive = Field(60.0, description="Exposure time [s].")
    zero_point: float = Field(22.0, description="Magnitude of 1 electron/s.")
    gain: Positive = Field(1.4, description="Electrons per ADU.")
    read_noise: float = Field(8.0, ge=0, description="Read noise [electrons].")
    bias: float = Field(1000.0, ge=0, description="Level of an unexposed pixel [ADU].")
    saturation: float = Field(
        60_000.0, gt=0, le=65_535, description="Largest value a pixel reaches [ADU]."
    )
    bleed: bool = Field(
        False, description="Whether charge above saturation bleeds along the column, or is lost."
    )
    sky: Interval = interval(18.5, 21.0, "Sky brightness of a frame [mag/arcsec^2].")
    sky_gradient: Fraction = Field(
        0.05, description="Largest change of the sky from centre to edge, as a share of it."
    )
    star_density: Positive = Field(
        1.5, description="Mean number of stars per square arcmin between the limits."
    )
    crowding: Positive = Field(
        1.5, ge=1, description="A frame's density is higher or lower by up to this factor."
    )
    companions: Fraction = Field(
        0.08, description="Share of the stars with another one within 10 arcsec."
    )
    bright_limit: float = Field(9.5, description="Brightest star [mag].")
    faint_limit: float = Field(17.5, description="Faintest star [mag].")
    magnitude_slope: Positive = Field(0.28, description="d log10 N / d mag of the number counts.")
    seeing: Interval = interval(1.1, 2.4, "FWHM of the atmosphere alone [arcsec].")
    ellipticity: float = Field(
        0.025, ge=0, le=0.2, description="Scatter of each component of the seeing's shear."
    )
    field_variation: Fraction = Field(
        0.1, description="Largest growth of the seeing's FWHM from centre to corner, as a share."
    )
    diameter: Positive = Field(0.4, description="Aperture of the telescope [m].")
    wavelength: Positive = Field(600.0, description="Effective wavelength [nm].")
    obscuration: Annotated[Interval, inside(0, 0.95)] = interval(
        0.3, 0.45, "Diameter of the secondary over the aperture's."
    )
    coma: Interval = interval(
        9.0, 14.0, "Length of the comatic flare at the centre of a comet frame [arcsec]."
    )
    coma_growth: float = Field(
        0.3,
        ge=0,
        le=2,
        description="Radial coma at the corner of a comet frame, as a share of that at the centre.",
    )
    drift: Interval = interval(6.0, 11.0, "Length of the trail of a drift [arcsec].")
    steady: Annotated[Interval, inside(0, 0.95)] = interval(
        0.25, 0.6, "Share of the exposure before the drift begins: the comet's head."
    )
    defocus: Interval = interval(5.0, 8.0, "Outer radius of a donut [arcsec].")
    defocus_tilt: Fraction = Field(
        0.2, description="Change of the defocus from centre to edge of a frame, as a share."
    )
    residual: float = Field(
        0.8,
        ge=0,
        description="Largest coma, drift and defocus left in frames of other classes [arcsec].",
    )
    mild: Fraction = Field(
        0.25, description="Share of comet and donut frames with `mild_strength`."
    )
    mild_strength: Fraction = Field(
        0.8, description="Aberration of a mild frame, as a share of the interval's lower end."
    )
    mixed: Fraction = Field(
        0.25,
        description=(
            "Share of comet frames with coma and drift, each weaker than alone, and of donut "
            "frames with coma up to half their radius; none is mild."
        ),
    )

    def stars(self, density: float = 1.0) -> float:
        """Mean number of stars in a frame of the given relative density."""
        return self.star_density * density * (self.side * self.pixel_scale / 60) ** 2

    @property
    def waves(self) -> float:
        """Arcsec of the angle wavelength / diameter: the unit of the aberrations."""
        return math.degrees(self.wavelength * 1e-9 / self.diameter) * 3600

    @model_validator(mode="after")
    def _possible(self) -> SimulatedFrames:
        for split in ("train", "test"):
            if not any(getattr(getattr(self, name), split) for name in STAR_CLASSES):
                raise ValueError(f"no class has a frame for {split}; give at least one")
        if not self.bright_limit < self.faint_limit:
            raise ValueError(
                f"bright_limit {self.bright_limit:g} must be below faint_limit {self.faint_limit:g}"
            )
        if self.bias >= self.saturation:
            raise ValueError(
                f"bias {self.bias:g} leaves no room below saturation {self.saturation:g}"
            )
        if self.seeing.low < 1.5 * self.pixel_scale:
            raise ValueError(
                f"seeing from {self.seeing.low:g} arcsec is undersampled by pixels of "
                f"{self.pixel_scale:g} arcsec; begin at {1.5 * self.pixel_scale:g}"
            )
        for name in ("coma", "drift", "defocus"):
            given = getattr(self, name)
            if given.low <= 0 or given.high > 15:
                raise ValueError(f"{name} must lie above 0 and within 15 arcsec")
        if self.mild + self.mixed > 1:
            raise ValueError(f"mild {self.mild:g} and mixed {self.mixed:g} must not exceed 1")
        densest = max(getattr(self, name).density for name in STAR_CLASSES) * self.crowding
        if self.stars(densest) > _MAX_STARS:
            raise ValueError(
                f"up to {self.stars(densest):.0f} stars per frame; star_density, crowding and side "
                f"may give {_MAX_STARS}"
            )
        return self


class FrameFiles(Section):
    """Your own CCD frames: a table of FITS files, each with one label or none."""

    kind: Literal["files"] = "files"
    path: str = Field(
        description=(
            "CSV or ECSV table with the columns frame (a FITS file, its path relative to the "
            "table), label (circular, comet, donut, or empty) and, if wanted, split (train, "
            "validation, test). Environment variables expand."
        )
    )
    directory: str | None = Field(
        None,
        description=(
            "Folder of the frames, if not the table's; changes of its content rerun the extraction."
        ),
    )
    hdu: int | str | None = Field(
        None, description="Extension of the frames, by number or name; null: the only 2-D one."
    )
    pixel_scale: Positive | None = Field(
        None, description="Pixel scale of frames without WCS [arcsec/px]."
    )
    saturation: Positive | None = Field(
        None,
        description="Lowest saturated value [ADU]; null: the header's SATURATE, if any.",
    )


Frames = Annotated[SimulatedFrames | FrameFiles, Field(discriminator="kind")]


class StarDetection(Section):
    """Finding the stars of a frame and cutting their stamps."""

    stamp_size: int = Field(60, ge=16, le=256, multiple_of=2, description="Stamp side [px], even.")
    background: Literal["median", "mesh"] = Field(
        "mesh",
        description="Sky of a frame: its sigma-clipped median, or that of a mesh of boxes.",
    )
    background_box: int = Field(128, ge=16, le=2048, description="Box of the mesh [px].")
    detector: Literal["auto", "daofind", "segmentation"] = Field(
        "auto",
        description=(
            "daofind: DAOStarFinder, for stars with one peak. segmentation: connected pixels of "
            "the smoothed frame, which finds a defocused star once. auto: segmentation where the "
            "bright stars are hollow or too faint to have peaks, daofind elsewhere."
        ),
    )
    fwhm: float = Field(4.0, gt=1, le=50, description="FWHM that DAOStarFinder looks for [px].")
    threshold: Positive = Field(
        25.0, description="Detection threshold [sigma of the frame; if smoothed, of that]."
    )
    min_stars: int = Field(
        3,
        ge=1,
        description="With fewer stars, detection is repeated with a lower threshold and fwhm.",
    )
    threshold_step: float = Field(
        0.8, gt=0, lt=1, description="Factor of the threshold at each new try."
    )
    fwhm_step: float = Field(
        0.97, gt=0, le=1, description="Factor of fwhm at each new try, down to 1.5 px."
    )
    threshold_floor: Positive = Field(4.0, description="Lowest threshold tried [sigma].")
    hollow: Fraction = Field(
        0.92,
        description="auto: a centre below this share of the brightest ring is hollow.",
    )
    smoothing: Positive = Field(
        5.0, description="FWHM of the kernel that smooths a frame for segmentation [px]."
    )
    overlap: Literal["keep_brightest", "drop_all", "keep"] = Field(
        "keep_brightest", description="Stars kept among those with overlapping boxes."
    )
    border: int = Field(
        0, ge=0, description="Least distance of a box to the edge of the frame [px]."
    )
    seeing_limit: Positive = Field(
        2.0, description="The seeing of a frame is good below this mean FWHM [arcsec]."
    )
    reject: list[Literal["saturated", "fit_failed"]] = Field(
        ["fit_failed"], description="Flags that reject a star; otherwise they only mark it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> StarDetection:
        if self.threshold_floor > self.threshold:
            raise ValueError(
                f"threshold_floor {self.threshold_floor:g} is above threshold {self.threshold:g}"
            )
        return self


class FrameSplits(Shares):
    """Shares of each class's frames where the table gives no split; the rest is for testing."""

    train: Fraction = Field(0.66, description="Share of the frames for training.")
    validation: Fraction = Field(0.19, description="Share of the frames for early stopping.")


class StarsConfig(ClassExperiment):
    """Task stars: star images classified as circular, comet or donut (star-image study)."""

    task: Literal["stars"] = Field("stars", description="Name of the task.")
    simulated: SimulatedFrames | None = Field(
        SimulatedFrames(), description="Simulated frames; null: none."
    )
    survey: FrameFiles | None = Field(None, description="Your own frames; null: none.")
    detection: StarDetection = Field(StarDetection(), description="From frames to stamps.")
    splits: FrameSplits = Field(FrameSplits(), description="Training, validation and test.")

    @model_validator(mode="after")
    def _consistent(self) -> StarsConfig:
        self.check(self.detection.stamp_size)
        for name in self.methods:
            if self.method_settings[name].answer == "mask":
                raise ValueError(f"method_settings.{name}.answer: stamps of stars have no mask")
        return self
