"""Settings of a measurement of many mosaics: `snakemake measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from galadapt.config.base import Section

#: What names a tile in paths of results.
TILE = r"[A-Za-z0-9][A-Za-z0-9_.+]*"


class Tile(Section):
    """One mosaic and what belongs to it, under the names of `galadapt predict`."""

    name: Annotated[str, Field(pattern=rf"^{TILE}$")] | None = Field(
        None, description="Its name in results; null: that of the image without its endings."
    )
    image: str = Field(
        description=(
            "FITS image; environment variables are expanded. It, maps and PSF may name an "
            "extension: image.fits[SCI], image.fits[2]."
        )
    )
    weight: str | None = Field(None, description="Inverse variance.")
    rms: str | None = Field(None, description="Noise (1 sigma).")
    variance: str | None = Field(None, description="Square of the noise.")
    exposure: str | None = Field(None, description="Exposure time or relative weight.")
    mask: str | None = Field(None, description="Non-zero where bad.")
    mask_good: bool = Field(False, description="Non-zero in `mask` marks good pixels.")
    bad_bits: int | None = Field(None, ge=0, description="Bits of the mask or DQ that mean bad.")
    psf: str | None = Field(None, description="FITS image of the PSF, pixel included.")
    psf_pixel_scale: float | None = Field(
        None, gt=0, description="Pixel scale of the PSF [arcsec]."
    )
    psf_hdu: int | None = Field(
        None, ge=0, description="The PSF's extension, if its file has several."
    )
    psf_from_stars: bool = Field(
        False,
        description="Make the PSF from stars in the image; one that is given is fitted to them.",
    )
    zero_point: float | None = Field(None, description="AB magnitude of 1 image unit.")
    unit: str | None = Field(None, description="Unit of the pixels, if BUNIT is missing or wrong.")
    native_pixel_scale: float | None = Field(
        None, gt=0, description="Pixel scale [arcsec], if the image has no WCS."
    )
    hdu: int | str | None = Field(None, description="Number or name of the extension.")


class MeasureCatalogue(Section):
    """A catalogue of positions on the sky."""

    path: str = Field(description="Its file; environment variables are expanded.")
    columns: dict[str, str] = Field({}, description="Names of its columns of id, ra and dec.")
    units: dict[str, str] = Field(
        {}, description="Units of these columns, if not those of the file."
    )
    table: int | str | None = Field(None, description="Its table, where a file holds several.")


class MeasureOptions(Section):
    """Options of `galadapt predict`, under its names."""

    fast: bool = Field(False, description="Leave out the refinement by the pixels.")
    level: float = Field(0.68, ge=0.05, le=0.95, description="Coverage of the errors.")
    members: int | None = Field(None, ge=1, description="Number of networks to run; null: all.")
    max_bad_fraction: float | None = Field(
        None, ge=0, lt=1, description="Share of bad pixels up to which an object is measured."
    )


class Measure(Section):
    """A survey of many mosaics, measured by `snakemake measure`."""

    tiles: str | Annotated[list[Tile], Field(min_length=1)] = Field(
        description=(
            "The mosaics: a list, or a table (CSV, Parquet, ECSV, ...) with a row for each and the "
            "keys of Tile as columns; relative paths in it are relative to its folder."
        )
    )
    catalogues: list[MeasureCatalogue] = Field(
        [], description="What is measured; none: every mosaic is searched for sources."
    )
    package: str | None = Field(
        None, description="Folder or name of a package; null: the one galadapt ships with."
    )
    recalibration: str | None = Field(
        None, description="Factors of the errors, from `galadapt fit-check --recalibrate`."
    )
    order: int = Field(
        6, ge=0, le=12, description="HEALPix order of the cells: 5 1.8, 6 0.9, 7 0.5 deg wide."
    )
    objects_per_job: int = Field(
        10_000, ge=1, le=1_000_000, description="Most objects of a job, which bounds its memory."
    )
    skip_unreadable: bool = Field(
        False,
        description=(
            "Leave out a mosaic that cannot be used: its objects are measured on another, or "
            "listed with the reason. false: its job fails."
        ),
    )
    options: MeasureOptions = Field(MeasureOptions(), description="Options of the measurement.")

    @model_validator(mode="after")
    def _distinct(self) -> Measure:
        names = [Path(one.path).name for one in self.catalogues]
        if len(set(names)) < len(names):
            # In the result they name the catalogue of each object.
            raise ValueError("catalogues: two files have the same name; rename one")
        return self
