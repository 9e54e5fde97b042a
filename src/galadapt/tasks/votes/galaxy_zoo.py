"""Fetching published images and votes of Galaxy Zoo."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from galadapt.config.machine import Downloads
from galadapt.core.errors import ConfigError
from galadapt.core.files import expand
from galadapt.sky.archives import Archive, folder_of, is_archive, read_archives, unpack
from galadapt.sky.downloads import fetch
from galadapt.tasks.votes.data import Download, GalaxyZooVotes, VoteNames
from galadapt.tasks.votes.files import Source


def fetch_votes(survey: GalaxyZooVotes, downloads: Downloads) -> Source:
    """Fetch images, votes and names of a campaign, and unpack the images beside their archive.

    Raises:
        ConfigError: the table of archives is broken or lacks a file that is not given either.
        DataError: a file cannot be had, is not the one that is listed, or cannot be unpacked.
        RunError: it cannot be written.
    """
    votes, images, names = (_entries(kind, survey, downloads) for kind in _KINDS)
    # The large files come last: what is wrong shows before.
    tables = [fetch(entry, downloads) for entry in votes[:1] + names[:1]]
    folders = []
    for entry in images:
        path = fetch(entry, downloads)
        if not is_archive(path):
            raise ConfigError(f"{path}: images must come as a zip or tar archive; give such a file")
        folders.append(unpack(path, folder_of(path)))
    return Source(folders, tables[0], (tables[1], _COLUMNS) if names else None)


#: What is fetched.
_KINDS = ("votes", "images", "names")

#: Columns of the published table of names.
_COLUMNS = VoteNames(path="", id="objid", image="asset_id")


def _entries(kind: str, survey: GalaxyZooVotes, downloads: Downloads) -> list[Archive]:
    """Files of one kind: the given one, else those of the table of archives."""
    given: Download | None = getattr(survey.download, kind)
    if given is not None:
        return [_entry(kind, given)]
    name = f"galaxyzoo-{survey.campaign}-{kind}"
    archives = read_archives(expand(downloads.archives))
    if name in archives.files or name in archives.groups:
        return list(archives.named(name).values())
    if kind == "names":
        return []
    raise ConfigError(
        f"{downloads.archives}: lists no '{name}'; give survey.download.{kind} with its url, bytes "
        "and sha256, or use your own copy with kind: files"
    )


def _entry(kind: str, given: Download) -> Archive:
    file = given.file or PurePosixPath(unquote(urlsplit(given.url).path)).name
    try:
        return Archive(
            file=file,
            urls=[given.url],
            bytes=given.bytes,
            sha256=given.sha256,
            what=kind,
            citation="",
            licence="",
            checked=False,
        )
    except ValidationError:
        raise ConfigError(
            f"survey.download.{kind}: '{file}' is no name for a file; give one as file"
        ) from None
