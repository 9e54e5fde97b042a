"""Settings of the images of galaxies and of their votes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import (
    Fraction,
    Interval,
    LogInterval,
    Positive,
    Section,
    Shares,
    inside,
    interval,
)

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
    n_train: int = Field(800, ge=8, le=1_000_000, description="Galaxies for training.")
    n_validation: int = Field(200, ge=4, le=1_000_000, description="Galaxies for validation.")
    n_test: int = Field(400, ge=4, le=1_000_000, description="Galaxies for testing.")
    telescope: Telescope = Field(
        Telescope(
            psf_fwhm=Interval(low=1.3, high=4.6),
            psf_by_channel=[1.1, 1.0, 1.0],
            psf_beta=2.8,
            noise_correlation=0.7,
            noise=[9.0, 8.5, 9.5],
            gain=0.5,
            sky=[7.0, 6.0, 7.0],
            balance=[1.15, 1.0, 0.85],
            softening=34.0,
            jpeg_quality=75,
        ),
        description="From galaxies to images: by default blurred, noisier and redder.",
    )
    volunteers: Volunteers = Field(
        Volunteers(threshold=0.2, smooth=0.15),
        description="From images to votes: by default they see less and prefer smooth.",
    )


class VoteImages(Section):
    """Your images."""

    path: str = Field(
        description=(
            "Folder of JPEG, PNG or FITS images named after their galaxies, also in folders within "
            "it; environment variables expand."
        )
    )


class VoteTable(Section):
    """A table of votes: CSV (also .csv.gz), ECSV, FITS, VOTable or Parquet."""

    path: str = Field(description="The table; environment variables expand.")


class VoteNames(Section):
    """A table of the images' names, where images are not named after the ids of their galaxies."""

    path: str = Field(description="The table; environment variables expand.")
    id: str = Field("objid", description="Column of ids, as in the table of votes.")
    image: str = Field("asset_id", description="Column of the images' names.")


class VoteSplits(Shares):
    """Splits of real images, by a hash of their names."""

    train: Fraction = Field(0.7, description="Share for training.")
    validation: Fraction = Field(0.1, description="Share for early stopping.")
    folds: int | None = Field(
        None,
        ge=2,
        le=100,
        description=(
            "Parts for cross-validation: one is for testing, the rest is shared out between "
            "training and validation by their shares; null: one fixed split."
        ),
    )
    fold: int = Field(0, ge=0, description="The part for testing, from 0.")

    @model_validator(mode="after")
    def _one_of_them(self) -> VoteSplits:
        if self.train == 0:
            raise ValueError("train: must be above 0")
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold: must be below folds, {self.folds or 1}; the first is 0")
        return self


class RealVotes(Section):
    """How real images and their votes are read."""

    campaign: Literal["gz2", "decals12", "decals", "desi", "hubble", "candels"] = Field(
        "gz2",
        description=(
            "Campaign whose tree of questions was answered: gz2 (also the Galaxy Challenge), "
            "decals12 (GZ DECaLS, DR1 and 2), decals (DR5), desi (DR8), hubble, candels."
        ),
    )
    id: str | None = Field(
        None, description="Column of the galaxies' ids; null: the first of the usual ones."
    )
    volunteers: Positive = Field(
        44.0,
        description=(
            "Volunteers per galaxy, where the table gives shares (as in the Galaxy Challenge) and "
            "no counts: votes are shares times this number."
        ),
    )
    tolerance: Fraction = Field(
        0.02,
        description=(
            "By how much, as a share of all volunteers, the answers of a question may differ from "
            "those who reached it. Fewer votes than volunteers are never an error of counts."
        ),
    )
    side: int = Field(64, ge=24, le=424, description="Side of a stamp [px].")
    crop: float = Field(
        208 / 424,
        gt=0,
        le=1,
        description="Central share of the image's side that becomes the stamp; 208/424: GZ2.",
    )
    limit: int | None = Field(
        None, ge=1, description="Use at most so many images with votes, chosen by a hash."
    )
    unlabelled: int | None = Field(
        None, ge=0, description="Use at most so many images without votes; null: all."
    )
    splits: VoteSplits = Field(VoteSplits(), description="Training, validation and test.")


class VoteFiles(RealVotes):
    """Your own images, and their votes where known."""

    kind: Literal["files"] = "files"
    images: VoteImages = Field(description="The images.")
    votes: VoteTable | None = Field(None, description="Their votes; null: unknown.")
    names: VoteNames | None = Field(
        None, description="Names of the images, where they are not the ids; null: they are."
    )

    @model_validator(mode="after")
    def _of_something(self) -> VoteFiles:
        if self.names is not None and self.votes is None:
            raise ValueError("names: belongs to votes; give both")
        if self.unlabelled == 0 and self.votes is None:
            raise ValueError("unlabelled: 0 leaves no image without votes; give votes")
        return self


class Download(Section):
    """A file to fetch that is not in the table of archives."""

    url: str = Field(pattern=r"^(https?|file)://\S+$", description="Its address.")
    file: str | None = Field(None, description="Its name here; null: the end of the address.")
    bytes: int | None = Field(None, ge=1, description="Its size, when known.")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Its checksum; null: that of the first download is recorded.",
    )


class VoteDownloads(Section):
    """Files to fetch instead of those in the table of archives."""

    votes: Download | None = Field(None, description="Table of votes.")
    images: Download | None = Field(None, description="Zip or tar archive of the images.")
    names: Download | None = Field(
        None, description="Table of the images' names (asset_id) by the galaxies' ids (objid)."
    )


class GalaxyZooVotes(RealVotes):
    """Published images and votes of Galaxy Zoo, fetched.

    They are the entries galaxyzoo-CAMPAIGN-votes, -images and, where images are not named after
    their galaxies, -names of the table of archives (see `downloads`).
    """

    kind: Literal["galaxy_zoo"] = "galaxy_zoo"
    download: VoteDownloads = Field(
        VoteDownloads(), description="Other files than those of the table of archives."
    )


#: Where images of the survey come from.
VoteSurvey = Annotated[MockVotes | VoteFiles | GalaxyZooVotes, Field(discriminator="kind")]
