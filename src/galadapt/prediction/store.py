"""Prediction packages that somebody offers: a DVC repository is a store.

Every folder that DVC tracks there and that holds a package.json is a package. Its files come from
the store's working tree, its cache or its remote, whichever has them: a clone without any data and
the address of a repository do as well as a folder on this machine.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from galadapt.core.errors import DataError, GaladaptError
from galadapt.prediction.package import RECORD, REFERENCE, Record, parse_record

#: Environment variable that names the store to use where none is given.
VARIABLE = "GALADAPT_MODELS"

#: Folders that say nothing of a package, and are left out of its name.
_UNSAID = frozenset({"results", "presets", "models"})

#: A part of a package's name, which becomes a folder of the user's: not hidden, not "..".
_PART = re.compile(r"\w[\w .+@=-]*")

#: A package.json larger than this is none [bytes].
_LARGEST_RECORD = 4 * 2**20

#: Errors of this machine, not of the store.
_OWN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})


@dataclass(frozen=True)
class Offer:
    """A package in a store.

    Attributes:
        name: What to call it: its folder without results, presets and models.
        path: Its folder in the store.
        record: What its package.json says; None if that cannot be read.
        reason: Why not.
    """

    name: str
    path: str
    record: Record | None
    reason: str = ""


@contextlib.contextmanager
def opened(store: str | None = None, rev: str | None = None) -> Iterator[Store]:
    """Open a store.

    Args:
        store: Folder of a DVC repository, or address of a git repository with one; None: the one
            that GALADAPT_MODELS names, else the one around the current folder.
        rev: Branch, tag or commit; None: a folder as it is, the newest commit of an address.

    Raises:
        DataError: there is none, or it cannot be reached.
    """
    from dvc.api import DVCFileSystem
    from dvc.repo.open_repo import clean_repos

    named = store or os.environ.get(VARIABLE) or None
    where = named or str(Path.cwd())
    remedy = f"name one with --store or {VARIABLE}" if named is None else "check its name"
    with contextlib.ExitStack() as stack:
        # A repository that had to be cloned lies in a temporary folder until then.
        stack.callback(clean_repos)
        if named is not None and Path(named).is_file():
            raise DataError(f"{named}: a file, where a DVC repository was expected; {remedy}")
        with _explained(where, f"no DVC repository that can be opened; {remedy}", rev):
            files = DVCFileSystem(named, rev=rev)
            stack.callback(files.close)
            tracked = getattr(files.repo, "dvc_dir", None)
        if not tracked:
            raise DataError(f"{where}: no DVC repository; {remedy}")
        yield Store(where, files)


class Store:
    """An open store; see `opened`."""

    def __init__(self, where: str, files: Any) -> None:
        """Take over an open `dvc.api.DVCFileSystem`."""
        self.where = where
        #: Folders that DVC tracks and nobody has pushed, or whose remote does not answer.
        self.unreachable: list[str] = []
        self._files = files

    def offers(self) -> list[Offer]:
        """Read every package's package.json, in the order of their names.

        Raises:
            DataError: the store is broken.
        """
        self.unreachable.clear()
        found = [self._read(path) for path in self._packages("/")]
        times = Counter(offer.name for offer in found)
        # Names that are not unique, or empty, give way to the whole path.
        found = [
            replace(offer, name=offer.path) if times[offer.name] > 1 or not offer.name else offer
            for offer in found
        ]
        return sorted(found, key=lambda offer: offer.name)

    def named(self, name: str) -> tuple[Offer, Record]:
        """Find a package by its name or its path, with what its package.json says.

        Raises:
            DataError: there is none of that name, or its package.json is broken.
        """
        offers = self.offers()
        for offer in offers:
            if name in (offer.name, offer.path):
                if offer.record is None:
                    raise DataError(f"{self.where}: {offer.name}: {offer.reason}")
                return offer, offer.record
        raise DataError(f"{self.where}: no package '{name}'; {_remedy(name, offers)}{self.gaps()}")

    def gaps(self) -> str:
        """Say which tracked folders could not be looked into; empty if none."""
        if not self.unreachable:
            return ""
        return (
            f"; not looked into, for neither cache nor remote has them: "
            f"{', '.join(self.unreachable)}"
        )

    def copy(self, offer: Offer, record: Record, folder: Path) -> None:
        """Copy a package's files, and no other, into an existing folder.

        Raises:
            DataError: a file is missing, or the remote does not answer.
        """
        names = [member.file for member in record.members]
        # Its record comes last, as where it was made: without one a folder is no package.
        for name in (*names, REFERENCE, RECORD):
            hint = "push it there with `dvc push`, or name another store"
            with _explained(f"{self.where}: {offer.path}/{name}", f"cannot be fetched; {hint}"):
                self._files.get_file(f"/{offer.path}/{name}", str(folder / name))

    def _packages(self, path: str) -> Iterator[str]:
        """Folders below `path` that hold a package.json, none inside another."""
        try:
            entries = {
                Path(entry["name"]).name: entry["type"]
                for entry in self._files.ls(path, detail=True, dvc_only=True)
            }
        except Exception as error:
            _pass_on_own(error)
            if path == "/":
                raise DataError(f"{self.where}: {_line(error)}; mend the store") from None
            self.unreachable.append(path.strip("/"))
            return
        if entries.get(RECORD) == "file":
            yield path.strip("/")
            return
        for name, kind in sorted(entries.items()):
            if kind == "directory" and _PART.fullmatch(name):
                yield from self._packages(f"{path.rstrip('/')}/{name}")

    def _read(self, path: str) -> Offer:
        name = "/".join(part for part in path.split("/") if part not in _UNSAID)
        try:
            hint = "push it there with `dvc push`"
            with (
                _explained(RECORD, f"cannot be fetched; {hint}"),
                self._files.open(f"/{path}/{RECORD}", "rb") as stream,
            ):
                text = stream.read(_LARGEST_RECORD)
            return Offer(name, path, parse_record(text, RECORD))
        except DataError as error:
            return Offer(name, path, None, str(error))


def _remedy(name: str, offers: Sequence[Offer]) -> str:
    if not offers:
        return "DVC tracks no package there"
    names = [offer.name for offer in offers]
    last = name.rpartition("/")[2]
    close = [other for other in names if other.rpartition("/")[2] == last]
    close += [n for n in difflib.get_close_matches(name, names, cutoff=0.5) if n not in close]
    return f"did you mean {' or '.join(close[:3])}?" if close else f"it has {', '.join(names)}"


@contextlib.contextmanager
def _explained(what: str, sentence: str, rev: str | None = None) -> Iterator[None]:
    """Tell in one sentence what DVC and the dozen kinds of remotes raise."""
    try:
        yield
    except GaladaptError:
        raise
    except Exception as error:
        _pass_on_own(error)
        from dvc.scm import RevError

        if isinstance(error, RevError):
            raise DataError(f"{what}: no revision '{rev}'; correct --rev") from None
        problem, _, remedy = sentence.partition("; ")
        raise DataError(f"{what}: {problem} ({_line(error)}); {remedy}") from None


def _pass_on_own(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in _OWN:
        raise error


def _line(error: BaseException) -> str:
    # The cause is what happened; DVC's own text is often no more than "SCM error".
    text = " ".join(str(error.__cause__ or error).split())
    # Where DVC tried to put a clone is nobody's business.
    return text.partition(" to '")[0][:160] or type(error).__name__
