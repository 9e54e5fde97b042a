"""Settings of the machine; they change no result."""

from __future__ import annotations

import os
import re
from typing import TypeVar

from pydantic import ConfigDict, Field, ValidationError, field_validator

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


#: What the address of an SQLite store begins with; its path follows.
LOCAL_STORE = "sqlite:///"

#: Kinds of stores that MLflow knows. A database may name its driver: ``postgresql+psycopg2``.
_SERVERS = ("http", "https")
_DATABASES = ("postgresql", "mysql", "mssql")


class Tracking(Section):
    """MLflow."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uri: str = Field(
        f"{LOCAL_STORE}mlflow.db",
        description=(
            "Tracking store: sqlite:///PATH, http(s)://HOST, or a database. Credentials only by "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        ),
    )
    experiment: str = Field("galadapt", description="Prefix of the experiment's name.")
    project: str | None = Field(
        None,
        description=(
            "Whose runs these are on a store that several use: only runs of the same project are "
            "replaced or removed. null: a name kept with the results."
        ),
    )

    @field_validator("uri")
    @classmethod
    def _address(cls, uri: str) -> str:
        scheme, found, rest = uri.partition("://")
        # The value is not repeated: it may hold a password.
        if not found:
            raise ValueError(
                f"is not an address; give {LOCAL_STORE}mlflow.db, or http://HOST of a server"
            )
        if scheme == "sqlite":
            if not uri.startswith(LOCAL_STORE) or not rest.strip("/"):
                raise ValueError(f"an SQLite store is {LOCAL_STORE}PATH, with three slashes")
            return uri
        kind = scheme.partition("+")[0]
        if kind not in (*_SERVERS, *_DATABASES):
            known = ", ".join(("sqlite", *_SERVERS, *_DATABASES))
            raise ValueError(f"no store is of the kind '{scheme[:20]}'; choose of {known}")
        host = rest.partition("/")[0].partition("?")[0]
        user, at, host = host.rpartition("@")
        secret = ":" in user or (at and kind in _SERVERS) or re.search(r"password|token|pwd=", rest)
        if secret or (kind in _SERVERS and "?" in rest):
            where = (
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
                if kind in _SERVERS
                else "the database's own file or variable (~/.pgpass, PGPASSWORD)"
            )
            raise ValueError(f"holds credentials, which would be stored; give them by {where}")
        if not host:
            raise ValueError(f"names no host: {scheme}://HOST")
        return uri


class Downloads(Section):
    """Where published data are, or are downloaded to. Changes no result."""

    model_config = ConfigDict(hide_input_in_errors=True)

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

    @field_validator("mirrors")
    @classmethod
    def _no_secrets(cls, mirrors: list[str]) -> list[str]:
        # The value is not repeated: it may hold a password.
        if any(re.search(r"//[^/]*@", mirror) for mirror in mirrors):
            raise ValueError("an address holds credentials, which would be stored; use ~/.netrc")
        return mirrors

    @classmethod
    def from_environment(cls) -> Downloads:
        """Read the section from GALADAPT_DOWNLOADS, where the workflow hands it to its jobs."""
        return section_of(cls, "GALADAPT_DOWNLOADS")
