"""The table of published files that can be fetched, the checksums of what was, and tar archives."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError, model_validator

from galadapt.config.base import Section
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import atomic, locked, write_text
from galadapt.core.log import log

Url = Annotated[str, Field(pattern=r"^(https?|file)://\S+$")]


class Archive(Section):
    """One file that can be fetched."""

    file: str = Field(pattern=r"^[A-Za-z0-9][\w.+-]*$", description="Name on disk and on mirrors.")
    urls: list[Url] = Field(min_length=1, description="Addresses, the primary first.")
    bytes: int | None = Field(None, ge=1, description="Size, when known.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="When known.")
    generated: bool = Field(
        False, description="Made by the server on request: no two copies have the same checksum."
    )
    what: str
    citation: str
    licence: str
    checked: bool = Field(description="Whether the addresses have been tried.")
    note: str = ""


class Archives(Section):
    """The table of files that can be fetched, and named groups of them."""

    files: dict[str, Archive] = Field(min_length=1)
    groups: dict[str, list[str]] = Field({}, description="Names of files that belong together.")

    @model_validator(mode="after")
    def _consistent(self) -> Archives:
        for group, members in self.groups.items():
            if group in self.files:
                raise ValueError(f"'{group}' names a file and a group; rename one")
            for member in members:
                if member not in self.files:
                    raise ValueError(f"group '{group}' names no file of the table: '{member}'")
        names = [entry.file for entry in self.files.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two entries write '{twice[0]}'; give each its own file")
        return self

    def named(self, name: str) -> dict[str, Archive]:
        """Return the entry, or the entries of the group, called `name`.

        Raises:
            ConfigError: there is none.
        """
        if name not in self.files and name not in self.groups:
            known = ", ".join([*self.groups, *self.files])
            raise ConfigError(f"no archive '{name}'; known: {known}")
        return {member: self.files[member] for member in self.groups.get(name, [name])}


def read_archives(path: str | Path) -> Archives:
    """Read and validate the table of archives (YAML).

    Raises:
        ConfigError: the file is missing, is not YAML, or an entry is not a valid `Archive`.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such table of archives; correct its path") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not a readable table of archives ({reason})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must contain 'files' and 'groups'")
    try:
        # Keys starting with a dot hold text shared by entries.
        return Archives.model_validate({k: v for k, v in values.items() if k[:1] != "."})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "table"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {key}: {message}; correct it") from None


def recorded(path: str | Path) -> dict[str, str]:
    """Read checksums of files by their names, in the format of ``sha256sum``.

    Raises:
        DataError: a line is not of the format.
    """
    path = Path(path)
    found: dict[str, str] = {}
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise DataError(f"{path}: line {number} is not '<sha256>  <file>'; repair or remove it")
        found[name] = digest.lower()
    return found


def record(path: str | Path, name: str, digest: str) -> None:
    """Add a checksum; what another process records at the same time is kept."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        found = recorded(path) | {name: digest}
        write_text(path, "".join(f"{found[name]}  {name}\n" for name in sorted(found)))
    log.info(f"{path}: recorded the checksum of {name}; keep this file under version control")


def unpack(archive: str | Path, folder: str | Path) -> Path:
    """Unpack a tar archive into `folder`, unless it is there already.

    Members that would land outside the folder, links out of it and devices are refused (tarfile's
    ``data`` filter). The folder appears only when everything has been written.

    Raises:
        DataError: the archive is broken or holds such a member, or `folder` is something else.
    """
    archive, folder = Path(archive), Path(folder)
    stat = archive.stat()
    mark = f"{archive.name} {stat.st_size} {stat.st_mtime_ns}\n"
    marker = folder / ".unpacked"
    if marker.is_file() and marker.read_text() == mark:
        return folder
    if folder.exists() and not marker.is_file():
        raise DataError(f"{folder}: not unpacked from {archive}; move it away")
    log.info(f"{archive}: unpacking into {folder}")
    try:
        with atomic(folder) as fresh, tarfile.open(archive) as tar:
            fresh.mkdir()
            tar.extractall(fresh, filter="data")
            (fresh / ".unpacked").write_text(mark)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); delete it and fetch it again"
        ) from None
    return folder
