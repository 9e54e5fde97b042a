"""The survey: where its field comes from, what is selected, how it is cut out."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from galadapt.config.base import Fraction, Interval, Positive, Section, Shares, inside
from galadapt.config.simulation import Noise
from galadapt.core.extraction_flags import FLAGS


def _with_weight(noise: Noise) -> Noise:
    if noise.depth == "none":
        raise ValueError("noise.depth: none gives no noise for the weight map; choose a depth")
    if noise.kind == "mosaic":
        raise ValueError("noise.kind: mosaic is for simulations; leave it out here")
    return noise


SurveyNoise = Annotated[Noise, AfterValidator(_with_weight)]


class MockSurvey(Section):
    """A survey simulated with galaxies that the training simulator cannot make."""

    kind: Literal["mock"] = "mock"
    n_galaxies: int = Field(
        2000, ge=20, description="Galaxies brighter than catalog_limit: the catalogue's length."
    )
    density: Positive = Field(
        125.0,
        description=(
            "Galaxies brighter than catalog_limit per square arcmin. The real sky has about 35 "
            "to 23.5 mag: the default is 3.5 times denser, to keep the mosaic small."
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
        23.5, description="Fainter galaxies are on the mosaic but not in the catalogue."
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
    noise: SurveyNoise = Field(
        Noise(), description="Noise of the mosaic where the weight is typical."
    )
    fit_scatter: float = Field(
        1.0, ge=0, description="Scatter of catalogue values in units of their quoted errors."
    )

    #: Largest side of a mosaic [px]: several arrays of this size are in memory at once.
    MAX_SIDE: ClassVar[int] = 10_000

    def side(self, pixel_scale: float) -> int:
        """Side of the mosaic that holds the galaxies at the wanted density [px]."""
        return math.ceil(math.sqrt(self.n_galaxies / self.density) * 60 / pixel_scale)

    @model_validator(mode="after")
    def _ordered(self) -> MockSurvey:
        if not self.bright_limit < self.catalog_limit < self.faint_limit:
            raise ValueError(
                f"bright_limit {self.bright_limit:g}, catalog_limit {self.catalog_limit:g} and "
                f"faint_limit {self.faint_limit:g} must increase in this order"
            )
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
        2000,
        ge=1,
        le=100_000,
        description="Use only this many galaxies, the first of the catalogue.",
    )
    box_cut: list[Positive] = Field(
        [3.0, 6.0],
        min_length=2,
        max_length=2,
        description=(
            "A galaxy gets flag 1, or flag 2, if its Sersic model is brighter than this "
            "[pixel rms] at the edge of its source image, where the archive cut it off."
        ),
    )
    noise: SurveyNoise = Field(Noise(), description="Noise added after the PSF.")


class MapFile(Section):
    """A FITS image that belongs to another one."""

    path: str = Field(
        description=(
            "FITS file; environment variables expand. It may name an extension: maps.fits[WHT]."
        )
    )


class MaskFile(MapFile):
    """A mask."""

    invert: bool = Field(False, description="Whether zero marks bad pixels, instead of non-zero.")


class ObjectCatalog(Section):
    """Your catalogue: FITS, VOTable, Parquet, ECSV, CSV, or SExtractor or GALFIT text."""

    path: str = Field(description="The catalogue; environment variables expand.")
    columns: dict[str, str] = Field(
        {},
        description=(
            "Its columns by galadapt's names: id, name, ra, dec, x, y, magnitude, "
            "effective_radius (semi-major), sersic_index, ellipticity or axis_ratio (b/a), their "
            "errors (magnitude_error...), position_angle (north through east), flag, sn. "
            "Not needed for positions and identifiers with usual names, nor for a GALFIT "
            "catalogue of van der Wel et al.; always needed for other labels."
        ),
    )
    units: dict[str, str] = Field(
        {},
        description=(
            "Units by galadapt's names where the catalogue has none: effective_radius in arcsec "
            "or pix, ra in hourangle or deg."
        ),
    )
    one_based: bool | None = Field(
        None, description="Whether the first pixel is 1; null: only in columns such as X_IMAGE."
    )
    table: int | str | None = Field(
        None, description="Number or name of the table, where a file holds several that fit."
    )


class ImagesSurvey(Section):
    """Your own image, or small images of one object each, with a catalogue.

    The experiment's `psf` must be the PSF of these images, in the network's pixels.
    """

    kind: Literal["images"] = "images"
    image: MapFile | None = Field(None, description="One image with all objects.")
    cutouts: MapFile | None = Field(
        None,
        description=(
            "Instead of an image, small images of one object each: a folder of FITS files, or "
            "one file with an extension or a plane each. They are matched to the catalogue's rows "
            "by name (column name) or number (id), or in their order with by_order."
        ),
    )
    by_order: bool = Field(
        False,
        description="Whether the cutouts are in the order of the catalogue's rows, whatever names.",
    )
    catalog: ObjectCatalog = Field(description="The objects.")
    weight: MapFile | None = Field(None, description="Inverse variance of the image.")
    rms: MapFile | None = Field(None, description="Noise of the image, instead of a weight.")
    variance: MapFile | None = Field(
        None, description="Square of the noise of the image, instead of a weight."
    )
    exposure: MapFile | None = Field(
        None, description="Exposure or relative weight map, scaled to the noise of the image."
    )
    mask: MaskFile | None = Field(None, description="Bad pixels of the image.")
    bad_bits: int | None = Field(
        None,
        ge=0,
        description=(
            "Bits of the mask, or of the image's DQ extension, that mean bad; 0 ignores that "
            "extension; null: the instrument's own, else all."
        ),
    )
    hdu: int | str | None = Field(
        None, description="Extension of the image, by number or name; null: the only one."
    )
    unit: str | None = Field(
        None,
        description=(
            "Unit of the pixels where BUNIT is missing or wrong: e-/s, counts/s, counts (divided "
            "by EXPTIME), or a flux density such as nJy, MJy/sr."
        ),
    )
    zero_point: float | None = Field(
        None, description="AB magnitude of 1 unit (1 count/s of counts); null: the header's."
    )
    native_pixel_scale: Positive | None = Field(
        None, description="Pixel scale of images without WCS [arcsec/px]."
    )
    fill: bool = Field(
        False,
        description=(
            "Fill stamps beyond the edge of a cutout with white noise like its own (the object "
            "gets flag 1); otherwise the object is rejected."
        ),
    )

    @model_validator(mode="after")
    def _whole(self) -> ImagesSurvey:
        if (self.image is None) == (self.cutouts is None):
            raise ValueError("give either image or cutouts")
        kinds = ("weight", "rms", "variance", "exposure")
        maps = [name for name in kinds if getattr(self, name) is not None]
        if len(maps) > 1:
            raise ValueError(f"{' and '.join(maps)} are given; give one of them")
        if self.cutouts is not None and (maps or self.mask is not None or self.hdu is not None):
            raise ValueError(f"{', '.join(kinds)}, mask and hdu are for image, not for cutouts")
        for name in ("fill", "by_order"):
            if self.image is not None and getattr(self, name):
                raise ValueError(f"{name} is for cutouts")
        return self


class SkyBox(Section):
    """A box on the sky."""

    ra: Annotated[Interval, inside(0, 360)] = Field(
        description="Right ascension [deg], within 0 to 360."
    )
    dec: Annotated[Interval, inside(-90, 90)] = Field(description="Declination [deg].")


class CandelsSurvey(Section):
    """CANDELS' F160W mosaics and the GALFIT catalogues of van der Wel et al., from the archives."""

    kind: Literal["candels"] = "candels"
    field: Literal["gs", "cos", "uds", "egs", "gn"] = Field(
        "cos", description="GOODS-South, COSMOS, UDS, EGS or GOODS-North."
    )
    release: Literal[2014, 2012] = Field(
        2014,
        description=(
            "Catalogue: 2014 (all fields, text) or 2012 (gs, cos and uds, VizieR's form)."
        ),
    )
    catalog: str | None = Field(
        None, description="A catalogue of your own instead, in either form; variables expand."
    )
    region: SkyBox | None = Field(
        None, description="Use only this part of the mosaic, for small machines."
    )

    @model_validator(mode="after")
    def _released(self) -> CandelsSurvey:
        if self.release == 2012 and self.field not in ("gs", "cos", "uds") and not self.catalog:
            raise ValueError(f"release 2012 does not cover field {self.field}; use release: 2014")
        return self


Survey = Annotated[
    MockSurvey | CosmosSurvey | CandelsSurvey | ImagesSurvey, Field(discriminator="kind")
]


class Selection(Section):
    """Catalogue objects to measure: good flags, values inside the simulated ranges."""

    max_flag: int = Field(
        0, ge=0, le=3, description="Largest GALFIT flag kept (0 good, 1 suspicious)."
    )
    magnitude: Interval = Field(Interval(low=16.0, high=25.0), description="[mag]")
    effective_radius: Interval = Field(Interval(low=1.5, high=31.6), description="[px]")
    sersic_index: Interval = Field(Interval(low=0.3, high=6.2), description="Kept indices.")
    ellipticity: Interval = Field(Interval(low=0.1, high=0.95), description="Kept 1 - b/a.")
    min_signal_to_noise: float = Field(0.0, ge=0, description="Smallest catalogue S/N kept.")


class Extraction(Section):
    """Cutting stamps out of the mosaic, and flagging or rejecting them."""

    background: Literal["mesh", "annulus", "none"] = Field(
        "mesh",
        description=(
            "What is subtracted from a stamp: the 2-D background of the mosaic, the median of the "
            "empty pixels in an annulus around the stamp, or nothing."
        ),
    )
    background_box: int = Field(
        48, ge=8, le=1024, description="Mesh of the 2-D background [px]; sources are masked first."
    )
    detection_threshold: Positive = Field(1.5, description="Segmentation threshold [sigma].")
    detection_area: int = Field(8, ge=1, description="Smallest segment [px].")
    neighbours: Literal["keep", "mask"] = Field(
        "keep",
        description=(
            "keep: stamps as observed. mask: neighbours are replaced by the pixels on the other "
            "side of the object, or by noise where those are masked too, so that stamps resemble "
            "simulations without neighbours."
        ),
    )
    max_neighbour_fraction: Fraction = Field(
        0.5, description="Reject when neighbours hold more than this share of the detected flux."
    )
    max_bad_fraction: Fraction = Field(
        0.0, description="Reject when more than this share of the pixels is NaN or has no weight."
    )
    psf_fwhm: Positive | None = Field(
        0.2,
        description=(
            "FWHM of the mosaic's PSF [arcsec]; objects that are not wider get the flag star. "
            "null: no such flag."
        ),
    )
    saturation: Positive | None = Field(
        None,
        description=(
            "Pixels from this value on are saturated [image unit]. Cores as flat as clipped ones "
            "are flagged in any case."
        ),
    )
    low_signal_to_noise: float = Field(
        10.0, ge=0, description="Below this S/N an object gets the flag low_signal_to_noise."
    )
    reject: list[Literal[tuple(FLAGS)]] = Field(  # type: ignore[valid-type]
        [], description="Flags that reject a stamp; all others only mark it."
    )


class Splits(Shares):
    """How survey objects are split: by position, or by a hash of their identifier."""

    by: Literal["cell", "id"] = Field(
        "cell",
        description=(
            "cell: square cells of the mosaic belong to one split each; where stamps of different "
            "splits still overlap, the one for training is left out. id: a hash of the "
            "identifier; stamps of different splits may share pixels."
        ),
    )
    cell: float = Field(4.0, ge=1, description="Side of a cell [stamp sides].")
    train: Fraction = Field(
        0.5, description="Share for training (labels are used only by methods that may)."
    )
    validation: Fraction = Field(0.15, description="Share for early stopping.")
