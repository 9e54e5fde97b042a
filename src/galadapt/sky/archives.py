"""The table of published files that can be fetched, the checksums of what was, and archives."""

from __future__ import annotations

import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from galadapt.config.base import Section, fault_of
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import atomic, locked, read_yaml, write_text
from galadapt.core.log import log

Url = Annotated[str, Field(pattern=r"^(https?|file)://\S+$")]

#: Ending of the archives that can be unpacked.
_ENDING = re.compile(r"\.(zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)

#: How many times its own size an archive may hold: more than images and tables ever need.
_EXPANSION = 100


class Archive(Section):
    """One file that can be fetched."""

    file: str = Field(pattern=r"^[A-Za-z0-9][\w.+-]*$", description="Name on disk and on mirrors.")
    urls: list[Url] = Field(min_length=1, description="Addresses, the primary first.")
    bytes: int | None = Field(None, ge=1, description="Size, when known.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="When known.")
    md5: str | None = Field(
        None, pattern=r"^[0-9a-f]{32}$", description="When the archive publishes no better one."
    )
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
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must contain 'files' and 'groups'")
    try:
        # Keys starting with a dot hold text shared by entries.
        return Archives.model_validate({k: v for k, v in values.items() if k[:1] != "."})
    except ValidationError as error:
        raise ConfigError(f"{path}: {fault_of(error)}; correct it") from None


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


def is_archive(path: str | Path) -> bool:
    """Tell by its name whether a file is a zip or tar archive."""
    return _ENDING.search(Path(path).name) is not None


def folder_of(archive: str | Path) -> Path:
    """Folder beside an archive to unpack it into: its name without the ending."""
    archive = Path(archive)
    name = _ENDING.sub("", archive.name)
    return archive.with_name(name if is_archive(archive) else f"{name}.unpacked")


def unpack(archive: str | Path, folder: str | Path) -> Path:
    """Unpack a zip or tar archive into `folder`, unless it is there already.

    Members that would land outside the folder, links out of it and devices are refused, as are
    archives that hold more than the disk, or over 100 times their own size. The folder appears only
    when everything has been written.

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
        with atomic(folder) as fresh:
            fresh.mkdir()
            room = min(_EXPANSION * stat.st_size, shutil.disk_usage(fresh).free)
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as packed:
                    members = list(_bounded(packed.infolist(), room))
                    packed.extractall(fresh, members)
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(fresh, _bounded(tar, room), filter="data")
            (fresh / ".unpacked").write_text(mark)
    except (
        tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
        ValueError, NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); delete it and fetch it again"
        ) from None
    return folder


def _bounded(members: Iterable[Any], room: int) -> Iterator[Any]:
    """Pass members on while they stay inside the folder, and all of them inside `room` [bytes]."""
    total = 0
    for member in members:
        name, size = (
            (member.filename, member.file_size)
            if isinstance(member, zipfile.ZipInfo)
            else (member.name, member.size)
        )
        total += size
        if total > room:
            raise ValueError(f"holds more than {room / 1e9:.1f} GB")
        # Tar's own filter refuses these too; zipfile renames them.
        if ".." in re.split(r"[/\\]", name) or re.match(r"[/\\]|[A-Za-z]:", name):
            raise ValueError(f"'{name[:80]}' is outside the folder")
        yield member
