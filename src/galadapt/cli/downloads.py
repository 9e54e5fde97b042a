"""`galadapt download` and `galadapt observations`."""

from __future__ import annotations

import argparse
from pathlib import Path

#: As `galadapt.config.machine.Downloads`, whose import would slow the command line down.
DEFAULTS = {
    "folder": "data/downloads",
    "archives": "config/archives.yaml",
    "checksums": "config/checksums.txt",
}


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both verbs to the command line."""
    verb = verbs.add_parser("download", help="fetch published data: mosaics, catalogues, samples")
    verb.add_argument("names", nargs="*", metavar="NAME", help="file or group from the list")
    verb.add_argument("--list", action="store_true", help="list the files and exit")
    verb.add_argument("--to", default=DEFAULTS["folder"], help="folder (default %(default)s)")
    verb.add_argument(
        "--mirror",
        action="append",
        default=[],
        help="folder or base URL tried before the archives; may be repeated",
    )
    verb.add_argument(
        "--offline", action="store_true", help="do not use the network; list what is missing"
    )
    verb.add_argument("--unpack", action="store_true", help="unpack archives beside them")
    verb.add_argument("--archives", default=DEFAULTS["archives"], help="the table of archives")
    verb.add_argument(
        "--checksums",
        default=DEFAULTS["checksums"],
        help="file that records the checksums of first downloads (default %(default)s)",
    )
    verb.set_defaults(act=_download)

    verb = verbs.add_parser("observations", help="make the table of 4XMM images for task screening")
    verb.add_argument("list", help="4XMM list of observations (FITS; galadapt download has one)")
    verb.add_argument("--images", required=True, help="folder of EPIC images, named as archived")
    verb.add_argument("--missing", help="CSV to write: addresses of the other images")
    verb.add_argument("-o", "--output", required=True, help="CSV to write: image, class, group")
    verb.set_defaults(act=_observations)


def _download(arguments: argparse.Namespace) -> None:
    from galadapt.config.machine import Downloads
    from galadapt.sky.archives import folder_of, is_archive, read_archives, unpack
    from galadapt.sky.downloads import fetch

    archives = read_archives(arguments.archives)
    if arguments.list or not arguments.names:
        for name, members in archives.groups.items():
            print(f"{name}: {', '.join(members)}")
        for name, entry in archives.files.items():
            size = f", {entry.bytes / 1e6:.0f} MB" if entry.bytes else ""
            print(f"{name}: {entry.what}{size}; {entry.citation}; {entry.licence}")
        return
    wanted = {
        member: entry for name in arguments.names for member, entry in archives.named(name).items()
    }
    # Not validated: nothing stores the addresses, which may hold credentials.
    downloads = Downloads.model_construct(
        folder=arguments.to,
        mirrors=arguments.mirror,
        offline=arguments.offline,
        checksums=arguments.checksums,
    )
    for entry in wanted.values():
        path = fetch(entry, downloads)
        if arguments.unpack and is_archive(path):
            path = unpack(path, folder_of(path))
        print(path)


def _observations(arguments: argparse.Namespace) -> None:
    from galadapt.tasks.screening.products import list_observations

    missing = None if arguments.missing is None else Path(arguments.missing)
    list_observations(Path(arguments.list), Path(arguments.images), Path(arguments.output), missing)
