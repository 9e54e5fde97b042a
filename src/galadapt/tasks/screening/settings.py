"""X-ray fields: simulated ones, or the user's own images, and how these are split."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from galadapt.config.base import (
    Fraction,
    Interval,
    LogInterval,
    Positive,
    Section,
    Shares,
    interval,
)
from galadapt.tasks.class_experiment import ClassExperiment

#: Side of an EPIC image of the XMM-Newton pipeline [px] and its pixel scale [arcsec/px].
_FULL_SIDE, _FULL_SCALE = 648, 4.0

_SHARE_TOLERANCE = 0.002  #: how far the shares of a split may miss 1


class FieldSplit(Section):
    """Number of fields in a split, and their classes."""

    n: int = Field(ge=0, le=1_000_000, description="Fields.")
    shares: list[Fraction] = Field(
        min_length=6,
        max_length=6,
        description="Shares of OBS_CLASS 0 to 5. They add up to 1.",
    )

    @field_validator("shares")
    @classmethod
    def _whole(cls, shares: list[float]) -> list[float]:
        if abs(sum(shares) - 1) > _SHARE_TOLERANCE:
            raise ValueError(f"shares add up to {sum(shares):.4g}, not 1")
        return shares


class SourceCounts(Section):
    """Point sources: a broken power law log N-log S, and the target of the observation."""

    density: Positive = Field(
        80.0, description="Sources brighter than break_flux per square degree (0.5-2 keV)."
    )
    break_flux: Positive = Field(1e-14, description="Flux of the break [erg/cm2/s].")
    faint_slope: Positive = Field(0.65, description="Slope of N(>S) below the break.")
    bright_slope: Positive = Field(1.6, description="Slope of N(>S) above the break.")
    faint_flux: Positive = Field(
        5e-16, description="Faintest source drawn [erg/cm2/s]; the rest is background."
    )
    bright_flux: Positive = Field(1e-12, description="Brightest source drawn [erg/cm2/s].")
    counts_per_flux: Positive = Field(
        8e11, description="Counts in the pn camera on its axis per unit of flux [cm2/erg]."
    )
    target: Fraction = Field(0.7, description="Share of fields with a target near the axis.")
    target_rate: LogInterval = interval(
        0.005, 2.0, "Rate of the target in the pn camera [counts/s], uniform in logarithm."
    )

    @model_validator(mode="after")
    def _ordered(self) -> SourceCounts:
        if not self.faint_flux < self.break_flux < self.bright_flux:
            raise ValueError(
                f"faint_flux {self.faint_flux:g}, break_flux {self.break_flux:g} and bright_flux "
                f"{self.bright_flux:g} must increase in this order"
            )
        return self


class DiffuseEmission(Section):
    """Clusters and galaxies that are not flagged: beta models."""

    probability: Fraction = Field(0.35, description="Share of fields with diffuse emission.")
    core_radius: LogInterval = interval(0.2, 1.0, "Core radius [arcmin], uniform in logarithm.")
    brightness: LogInterval = interval(
        0.5, 20.0, "Central surface brightness [background], uniform in logarithm."
    )


class FieldBackground(Section):
    """Sky (vignetted by the mirrors) and particles (not), each uniform in logarithm."""

    sky: LogInterval = interval(
        0.002, 0.008, "Sky and soft protons on the axis of pn [counts/s/arcmin2]."
    )
    particles: LogInterval = interval(0.003, 0.009, "Particles in pn [counts/s/arcmin2].")


class Defect(Section):
    """One kind of defect."""

    share: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="Relative frequency among the kinds that fit the area of a class.",
    )
    strength: LogInterval = Field(
        description=(
            "Surface brightness over the background, uniform in logarithm; of wings and extended "
            "emission at the edge of the flagged region, of a streak the mean over it."
        )
    )


def _defect(share: float, low: float, high: float, text: str) -> Any:
    return Field(Defect(share=share, strength=Interval(low=low, high=high)), description=text)


#: Classes whose areas a kind of defect can have.
KINDS = {
    "hot_pixels": (1,),
    "hot_column": (2,),
    "streak": (2, 3),
    "wings": (3, 4),
    "arcs": (3, 4),
    "extended": (3, 4, 5),
    "noisy_chip": (3, 4),
    "flare": (5,),
}


class FieldDefects(Section):
    """Defects to detect; default strengths begin where the eye can see them."""

    hot_pixels: Defect = _defect(3, 5.0, 60.0, "Hot pixels: class 1.")
    hot_column: Defect = _defect(2, 1.0, 12.0, "A hot column of a CCD: class 2.")
    streak: Defect = _defect(
        3, 0.6, 4.0, "A bright source and its out-of-time events in pn: classes 2 and 3."
    )
    wings: Defect = _defect(2, 0.2, 1.5, "Wings and spikes of a bright source: classes 3 and 4.")
    arcs: Defect = _defect(
        2, 0.4, 4.0, "Single reflections of a source outside the field of view: classes 3 and 4."
    )
    extended: Defect = _defect(1.5, 0.2, 2.0, "Very extended emission: classes 3 to 5.")
    noisy_chip: Defect = _defect(1, 0.3, 3.0, "A CCD in a noisy state: classes 3 and 4.")
    flare: Defect = _defect(1.5, 2.0, 20.0, "Flaring background over the whole field: class 5.")
    second: Fraction = Field(
        0.25, description="Share of fields of class 2 to 4 with a second, smaller defect."
    )


class SimulatedFields(Section):
    """Simulated EPIC fields, with defects whose area gives the class."""

    kind: Literal["simulated"] = "simulated"
    train: FieldSplit = Field(
        FieldSplit(n=1600, shares=[0.3896, 0.3105, 0.1412, 0.1072, 0.0492, 0.0023]),
        description="Fields for training; default shares of the 4XMM study.",
    )
    validation: FieldSplit = Field(
        FieldSplit(n=400, shares=[0.3989, 0.3193, 0.1356, 0.0990, 0.0467, 0.0005]),
        description="Fields for validation; default shares of the 4XMM study.",
    )
    test: FieldSplit = Field(
        FieldSplit(n=800, shares=[0.3925, 0.2750, 0.1450, 0.1425, 0.0450, 0.0]),
        description="Fields for testing; default shares of the 4XMM study.",
    )
    binning: Literal[1, 2, 4, 8] = Field(
        4, description="Pixels of 4 arcsec binned into one; the side is 648 / binning px."
    )
    camera: Literal["sum", "pn", "mos1", "mos2"] = Field(
        "sum", description="The camera, or the sum of all three."
    )
    coordinates: Literal["sky", "detector"] = Field(
        "sky",
        description="sky: north is up. detector: the chips of one camera stand upright.",
    )
    outside: bool = Field(
        False, description="Whether the image shows particles outside the field of view."
    )
    exposure: LogInterval = interval(
        6_000.0,
        60_000.0,
        "Exposure time [s], uniform in logarithm; dead time and windows shorten it.",
    )
    window: Fraction = Field(
        0.15,
        description="Share of cameras whose central CCD (pn: all CCDs) is read in window mode.",
    )
    lost_chips: Fraction = Field(
        0.6, description="Share of fields after MOS1 lost one CCD or two to micrometeoroids."
    )
    sources: SourceCounts = Field(SourceCounts(), description="Point sources.")
    diffuse: DiffuseEmission = Field(DiffuseEmission(), description="Extended emission.")
    background: FieldBackground = Field(FieldBackground(), description="Background.")
    defects: FieldDefects = Field(FieldDefects(), description="Defects, flagged by definition.")

    @property
    def side(self) -> int:
        """Side of an image [px]."""
        return _FULL_SIDE // self.binning

    @property
    def pixel_scale(self) -> float:
        """Pixel scale [arcsec/px]."""
        return _FULL_SCALE * self.binning

    @model_validator(mode="after")
    def _consistent(self) -> SimulatedFields:
        if self.train.n + self.validation.n + self.test.n == 0:
            raise ValueError("train.n, validation.n and test.n are all 0; give one a number")
        if self.camera == "sum" and self.coordinates == "detector":
            raise ValueError(
                "coordinates: detector needs one camera: the chips of the three lie differently"
            )
        # A chip has an area of its own; MOS is shielded while it is read out.
        unfit = ("noisy_chip",) if self.camera in ("sum", "pn") else ("noisy_chip", "streak")
        for number in range(1, 6):
            seen = [name for name in KINDS if number in KINDS[name] and name not in unfit]
            if not any(getattr(self.defects, name).share > 0 for name in seen):
                raise ValueError(
                    f"no defect is left for class {number} in camera {self.camera}; give one of "
                    f"{', '.join(seen)} a share"
                )
        return self


class TableFile(Section):
    """A list of your images."""

    path: str = Field(
        description=(
            "CSV or Parquet with a column image (path, relative to the table) and where known "
            "exposure [s], label or obs_class (0 to 5), split (train, validation, test) and group "
            "(kept in one split; by default the header's OBS_ID or the file's name). Environment "
            "variables expand."
        )
    )


class ImageFolder(Section):
    """A folder of images."""

    path: str = Field(description="Folder; environment variables expand.")


class FieldFiles(Section):
    """Your own X-ray counts images, labelled or not."""

    kind: Literal["files"] = "files"
    table: TableFile | None = Field(None, description="A list of images, with labels where known.")
    folder: ImageFolder | None = Field(
        None, description="Instead of a table: all FITS files of a folder, unlabelled."
    )
    hdu: int | str | None = Field(
        None, description="Extension of the image, by number or name; null: the only one."
    )
    native_pixel_scale: Positive | None = Field(
        None, description="Pixel scale where the header gives none [arcsec/px]."
    )
    band: str = Field("0.2-12 keV", description="Energy band of the images.")

    @model_validator(mode="after")
    def _one(self) -> FieldFiles:
        if (self.table is None) == (self.folder is None):
            raise ValueError("give either table or folder")
        return self


class FieldSplits(Shares):
    """Splits of your fields: each class by the same shares; observations are never divided."""

    train: Fraction = Field(0.7, description="Share for training.")
    validation: Fraction = Field(0.15, description="Share for early stopping.")


class ScreeningConfig(ClassExperiment):
    """Task screening: how much of an X-ray field is affected by defects (4XMM study)?"""

    task: Literal["screening"] = Field("screening", description="Name of the task.")
    simulated: SimulatedFields | None = Field(
        SimulatedFields(), description="Simulated EPIC fields; null: none."
    )
    survey: FieldFiles | None = Field(None, description="Your own images; null: none.")
    splits: FieldSplits = Field(FieldSplits(), description="Training, validation and test.")

    @model_validator(mode="after")
    def _consistent(self) -> ScreeningConfig:
        self.check((self.simulated or SimulatedFields()).side)
        return self
