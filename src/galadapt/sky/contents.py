"""Check that a downloaded file is of the kind that its name states, and no error page."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from galadapt.core.packed import kind_of

#: First bytes of files by the ending of their names.
_MAGIC: dict[str, bytes] = {
    **dict.fromkeys((".fits", ".fit", ".fts"), b"SIMPLE  ="),
    **dict.fromkeys((".gz", ".tgz", ".ftz"), b"\x1f\x8b"),
    **{".bz2": b"BZh", ".xz": b"\xfd7zXZ", ".zip": b"PK", ".npz": b"PK", ".parquet": b"PAR1"},
    **{".h5": b"\x89HDF", ".hdf5": b"\x89HDF", ".pdf": b"%PDF", ".png": b"\x89PNG"},
    **{".jpg": b"\xff\xd8", ".xml": b"<", ".vot": b"<"},
}
_OPENERS: dict[str, Any] = {
    **dict.fromkeys((".gz", ".tgz", ".ftz"), gzip.open),
    **{".bz2": bz2.open, ".xz": lzma.open},
}
_TEXT = (".txt", ".csv", ".tsv", ".dat", ".cat", ".galfit", ".ecsv", ".asc")

#: Text of fewer lines is a message, not a table.
_LINES = 2

_BLOCK = 2**22


def fault(path: Path, name: str, whole: bool) -> str | None:
    """Say what is wrong with a file that should be the one of a name; None if nothing is seen.

    Args:
        path: The file as it arrived.
        name: The name it will have.
        whole: Whether to read a compressed file to its end, where no checksum is known.
    """
    size, ending = path.stat().st_size, Path(name.lower()).suffix
    if size == 0:
        return "is empty"
    with path.open("rb") as stream:
        head = stream.read(4096)
        stream.seek(max(size - 4, 0))
        tail = stream.read(4)
    kind = kind_of(head)
    expected = _MAGIC.get(ending)
    if ending == ".tar":
        expected = b"" if tarfile.is_tarfile(path) else b"?"
    if expected == b"<" and kind is not None and kind[0] != "an XML document":
        return f"is {kind[0]}, not the file"
    wrong = expected is not None and not head.lstrip().startswith(expected)
    if wrong or (expected is None and kind is not None and ending != ".json"):
        if expected == b"SIMPLE  =" and kind is None:
            return "is not a FITS file"
        what = kind[0] if kind else _words(head) or f"no {ending} file"
        return f"is {what}, not the file"
    if ending in _TEXT:
        if b"\0" in head:
            return "is no text"
        if size < len(head) + 1 and whole and len(head.split(b"\n")) <= _LINES:
            return f"is {_words(head)}, not the file"
    if ending == ".parquet" and tail != b"PAR1":
        return "ends too early"
    return _broken(path, ending) if whole else None


def _words(head: bytes) -> str:
    """A short text in quotes; "" if it is none."""
    try:
        text = " ".join(head.decode("utf-8").split())
    except UnicodeDecodeError:
        return ""
    return f"the text '{text[:60]}'" if text.isprintable() else ""


def _broken(path: Path, ending: str) -> str | None:
    """Why an archive cannot be read to its end."""
    try:
        if ending in _OPENERS:
            with _OPENERS[ending](path) as stream:
                while stream.read(_BLOCK):
                    pass
        elif ending == ".tar":
            with tarfile.open(path) as archive:
                members = archive.getmembers()
                last = max((m.offset_data + m.size for m in members), default=0)
                if not members or last > path.stat().st_size:
                    return "ends too early"
        elif ending in (".zip", ".npz") and not zipfile.is_zipfile(path):
            return "ends too early"
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error, ValueError) as error:
        return f"is broken ({' '.join(str(error).split()).rstrip('.')})"
    return None
