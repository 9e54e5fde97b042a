"""The stamps and the PSF they are seen through."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import Positive, Section


class Image(Section):
    """The stamps: size, sampling and photometric system."""

    stamp_size: int = Field(
        64, ge=16, le=1024, multiple_of=2, description="Side of a square stamp [px]; even."
    )
    pixel_scale: Positive = Field(0.06, description="Pixel scale [arcsec/px].")
    zero_point: float = Field(
        25.9463, gt=0, lt=40, description="AB magnitude of 1 e-/s. WFC3/IR F160W: 25.9463."
    )
    band: str = Field("F160W", description="Name of the band, for headers and plots.")


class OpticalPsf(Section):
    """A space telescope's PSF from its optics (galsim.OpticalPSF), jitter and charge diffusion.

    The defaults are as wide (0.19 arcsec) as CANDELS' F160W PSF.
    """

    kind: Literal["optical"] = "optical"
    wavelength: Positive = Field(1536.9, description="Effective wavelength [nm].")
    diameter: Positive = Field(2.4, description="Aperture diameter [m].")
    obscuration: float = Field(0.33, ge=0, lt=1, description="Linear central obscuration.")
    struts: int = Field(4, ge=0, description="Number of support struts.")
    defocus: float = Field(0.0, description="Defocus aberration [waves].")
    astigmatism: float = Field(0.0, description="Astigmatism in both axes [waves].")
    coma: float = Field(0.0, description="Coma in both axes [waves].")
    blur: float = Field(
        0.06, ge=0, description="Gaussian sigma of jitter, diffusion and drizzling [arcsec]."
    )


class FitsPsf(Section):
    """An effective PSF image (pixel included) in a FITS file."""

    kind: Literal["fits"] = "fits"
    path: str = Field(
        description=(
            "FITS file; environment variables are expanded. It may name an extension: psf.fits[2]."
        )
    )
    hdu: int = Field(0, ge=0, description="Extension of the image, where `path` names none.")
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


OnePsf = Annotated[OpticalPsf | FitsPsf | GaussianPsf | MoffatPsf, Field(discriminator="kind")]


class PsfSet(Section):
    """Several PSFs; each simulated galaxy is seen through one of them, drawn at random."""

    kind: Literal["set"] = "set"
    members: list[OnePsf] = Field([], description="PSFs of any of the other kinds.")
    path: str | None = Field(
        None,
        description=(
            "FITS file: every image and every plane of a cube is one more effective PSF (pixel "
            "included); environment variables are expanded."
        ),
    )
    pixel_scale: Positive = Field(0.06, description="Sampling of the images in `path` [arcsec/px].")

    @model_validator(mode="after")
    def _some(self) -> PsfSet:
        if not self.members and self.path is None:
            raise ValueError("a set needs members, a path, or both; give at least one PSF")
        return self


Psf = Annotated[OnePsf | PsfSet, Field(discriminator="kind")]
