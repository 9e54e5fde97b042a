"""Files that are compressed as a whole: recognised by their first bytes, whatever their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from galadapt.core.errors import DataError

#: First bytes of compressed files, and what opens them.
_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_ZIP = b"PK\x03\x04"

#: First bytes of files of other kinds, as users call them, and what to do with such a file.
_KINDS: dict[bytes, tuple[str, str]] = {
    b"#ASDF": ("an ASDF file", "write the image or table as FITS"),
    b"\x89HDF\r\n": ("an HDF5 file", "write the image or table as FITS"),
    b"\x1f\x9d": ("compressed by the old Unix compress (.Z)", "unpack it with gzip -d"),
    b"\x28\xb5\x2f\xfd": ("compressed by Zstandard", "unpack it with unzstd"),
    b"LZIP": ("compressed by lzip", "unpack it with lzip -d"),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it"),
    b"\xff\xd8\xff": ("a JPEG picture", "give the FITS file it was made from"),
    b"\x89PNG": ("a PNG picture", "give the FITS file it was made from"),
    b"%PDF": ("a PDF document", "give the file itself"),
    b"SQLite": ("an SQLite database", "write the table as FITS or CSV"),
    b"\x93NUMPY": ("a NumPy array", "write it as FITS with astropy.io.fits.writeto"),
}

#: Files packed in each other, at most.
_DEPTH = 4

_CHUNK = 2**24

#: Names of FITS files: an ending, perhaps that of a compressed file behind it.
_FITS_NAME = re.compile(r"\.(fits|fit|fts|ftz|fz)(\.(gz|fz|bz2|xz|zip|z))*$", re.IGNORECASE)


def is_fits_name(name: str) -> bool:
    """Tell by its name whether a file is FITS, plain or compressed."""
    return _FITS_NAME.search(name) is not None


def stem(name: str) -> str:
    """Name of a FITS file without folder and endings."""
    return _FITS_NAME.sub("", Path(name.strip()).name)


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort key by which 2.fits comes before 10.fits."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part]


def fits_files(folder: Path, what: str) -> list[Path]:
    """FITS files of a folder in the natural order of their names; `what` is for the message.

    Raises:
        DataError: there is none.
    """
    found = [p for p in folder.iterdir() if is_fits_name(p.name) and not p.name.startswith(".")]
    if not found:
        raise DataError(f"{folder}: holds no FITS image; give the folder of {what}")
    return sorted(found, key=lambda path: natural(path.name))


def is_packed(start: bytes) -> bool:
    """Tell by its first bytes whether a file is compressed in a way that `unpacked` undoes."""
    return start.startswith((_ZIP, *_OPENERS))


def unpacked(path: Path, folder: Path) -> Path:
    """Unpack a file, as often as it was packed, into a folder; itself if it is not packed.

    Raises:
        DataError: it is an archive of several files.
        Exception: of many kinds, when it is broken.
    """
    shown = path
    for depth in range(_DEPTH + 1):
        with path.open("rb") as file:
            start = file.read(8)
        if not is_packed(start):
            return path
        target = folder / f"unpacked-{depth}"
        if start.startswith(_ZIP):
            _from_zip(path, target, shown)
        else:
            opener = next(way for magic, way in _OPENERS.items() if start.startswith(magic))
            with opener(path) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain, _CHUNK)
        if path != shown:
            path.unlink()
        path = target
    raise DataError(f"{shown}: is packed more than {_DEPTH} times; unpack it")


def _from_zip(path: Path, target: Path, shown: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [
            one for one in archive.infolist() if not one.is_dir() and "__MACOSX" not in one.filename
        ]
        if len(members) != 1:
            raise DataError(
                f"{shown}: is a zip archive of {len(members)} files; unpack it and give one of them"
            )
        with archive.open(members[0]) as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, _CHUNK)


def kind_of(start: bytes) -> tuple[str, str] | None:
    """What a file of another kind is, and what to do with it; None when it is none of those known.

    Args:
        start: Its first bytes, some hundred.
    """
    for magic, words in _KINDS.items():
        if start.startswith(magic):
            return words
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page", "fetch the file itself"
    if text.startswith(b"<") and b"<votable" not in text:
        return "an XML document", "fetch the file itself"
    if text.startswith((b'{"', b"{\n", b'[{"', b"{ ")):
        return "a JSON document", "fetch the file itself"
    return None
