"""Settings of the machine; they change no result."""

from __future__ import annotations

import os
from typing import TypeVar

from pydantic import Field, ValidationError

from galadapt.config.base import Section
from galadapt.core.errors import ConfigError

S = TypeVar("S", bound=Section)

#: Keys of an experiment that change no result.
NON_RESULT_SECTIONS = ("results", "compute", "tracking", "downloads")


def section_of(kind: type[S], variable: str) -> S:
    """Read a section from an environment variable, its defaults where the variable is not set.

    Raises:
        ConfigError: the variable does not hold such a section.
    """
    try:
        return kind.model_validate_json(os.environ.get(variable, "{}"))
    except ValidationError as error:
        raise ConfigError(f"{variable}: {error.errors()[0]['msg']}; unset it") from None


class Tracking(Section):
    """MLflow."""

    uri: str = Field("sqlite:///mlflow.db", description="Tracking store.")
    experiment: str = Field("galadapt", description="Prefix of the experiment's name.")


class Downloads(Section):
    """Where published data are, or are downloaded to. Changes no result."""

    folder: str = Field(
        "data/downloads", description="Folder of the files; environment variables expand."
    )
    mirrors: list[str] = Field(
        [], description="Folders or base URLs with the files, tried before the archives."
    )
    offline: bool = Field(False, description="Never use the network; list what is missing.")
    archives: str = Field(
        "config/archives.yaml", description="Table of addresses, sizes and checksums."
    )
    checksums: str = Field(
        "config/checksums.txt",
        description="Record of the checksums of first downloads; keep it under version control.",
    )

    @classmethod
    def from_environment(cls) -> Downloads:
        """Read the section from GALADAPT_DOWNLOADS, where the workflow hands it to its jobs."""
        return section_of(cls, "GALADAPT_DOWNLOADS")
