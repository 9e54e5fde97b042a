"""Settings of the images of galaxies and of their votes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import Interval, LogInterval, Positive, Section, inside, interval

#: Values of the red, green and blue channel.
_Channels = Annotated[list[float], Field(min_length=3, max_length=3)]

#: The same, above 0.
_PositiveChannels = Annotated[list[Positive], Field(min_length=3, max_length=3)]


class Telescope(Section):
    """From galaxies to colour images: PSF, noise, stretch and JPEG. Defaults: SDSS.

    The frame of every galaxy is scaled to its size, so the resolution, in pixels of the stamp,
    varies from galaxy to galaxy.
    """

    psf_fwhm: Annotated[LogInterval, inside(0.5, 12.0)] = interval(
        1.0,
        4.0,
        "FWHM of the PSF in the green channel, in 64ths of the stamp's side, uniform in logarithm.",
    )
    psf_by_channel: _PositiveChannels = Field(
        [0.95, 1.0, 1.08], description="FWHM in red, green and blue over that in green."
    )
    psf_beta: float = Field(3.5, gt=1.5, le=20, description="Exponent of the PSF (Moffat).")
    noise_correlation: float = Field(
        0.5,
        gt=0,
        le=2,
        description=(
            "FWHM of the kernel that correlates the noise (the detector's pixels and the "
            "enlargement of the frame), over that of the PSF in green."
        ),
    )
    noise: _PositiveChannels = Field(
        [7.2, 7.0, 7.2],
        description="Noise of the sky in red, green and blue, before pixels are averaged [8-bit].",
    )
    gain: Positive = Field(
        0.7,
        description="Photons of a galaxy per 8-bit unit, before the stretch: its photon noise.",
    )
    sky: _Channels = Field(
        [3.0, 3.0, 1.0], description="Level of the sky in red, green and blue [8-bit]."
    )
    balance: _PositiveChannels = Field(
        [1.0, 1.0, 1.0], description="Factors of red, green and blue before the stretch."
    )
    softening: Positive = Field(
        39.0,
        description="Brightness at which the asinh stretch turns logarithmic [8-bit].",
    )
    jpeg_quality: int = Field(90, ge=10, le=100, description="Quality of the JPEG compression.")


class Volunteers(Section):
    """The crowd that answers. They see only the images."""

    number: Annotated[Interval, inside(1, 10_000)] = interval(
        40, 50, "Volunteers of a galaxy: a whole number, uniform."
    )
    concentration: Positive = Field(
        25.0,
        description=(
            "How alike volunteers are: concentration of the Dirichlet distribution of each "
            "question's answer probabilities; larger: more alike."
        ),
    )
    threshold: float = Field(
        0.0,
        ge=-3,
        le=3,
        description=(
            "By how much visibility must exceed the default crowd's for the same answers [ln of "
            "the signal-to-noise ratio]."
        ),
    )
    smooth: float = Field(
        0.0, ge=-5, le=5, description="Preference for the answer smooth [change of its logit]."
    )

    @model_validator(mode="after")
    def _whole(self) -> Volunteers:
        if not (self.number.low.is_integer() and self.number.high.is_integer()):
            raise ValueError("number: give whole numbers")
        return self


class _VoteSimulation(Section):
    n_train: int = Field(4000, ge=8, le=1_000_000, description="Galaxies for training.")
    n_validation: int = Field(600, ge=4, le=1_000_000, description="Galaxies for validation.")
    n_test: int = Field(800, ge=4, le=1_000_000, description="Galaxies for testing.")
    side: int = Field(64, ge=24, le=208, multiple_of=2, description="Side of a stamp [px], even.")

    @property
    def total(self) -> int:
        """Number of galaxies."""
        return self.n_train + self.n_validation + self.n_test


class SimulatedVotes(_VoteSimulation):
    """Simulated galaxies and volunteers, with the tree of questions of Galaxy Zoo 2."""

    kind: Literal["simulated"] = "simulated"
    telescope: Telescope = Field(Telescope(), description="From galaxies to images.")
    volunteers: Volunteers = Field(Volunteers(), description="From images to votes.")


class MockVotes(_VoteSimulation):
    """A mock survey: the same galaxies in distribution, another telescope and another crowd."""

    kind: Literal["mock"] = "mock"
    n_train: int = Field(1500, ge=8, le=1_000_000, description="Galaxies for training.")
    n_validation: int = Field(300, ge=4, le=1_000_000, description="Galaxies for validation.")
    telescope: Telescope = Field(
        Telescope(
            psf_fwhm=Interval(low=1.4, high=5.0),
            psf_by_channel=[1.1, 1.0, 1.0],
            psf_beta=2.8,
            noise_correlation=0.7,
            noise=[11.0, 10.0, 11.0],
            gain=0.5,
            sky=[7.0, 6.0, 7.0],
            balance=[1.2, 1.0, 0.8],
            softening=30.0,
            jpeg_quality=75,
        ),
        description="From galaxies to images: by default blurred, noisier and redder.",
    )
    volunteers: Volunteers = Field(
        Volunteers(threshold=0.3, smooth=0.2),
        description="From images to votes: by default they see less and prefer smooth.",
    )
