"""A store of prediction packages: a DVC repository.

Every folder that DVC tracks there and that holds a package.json is a package. Its files come from
the store's working tree, its cache or its remote, whichever has them: a clone without any data and
the address of a repository do as well as a folder on this machine.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galadapt.core.errors import OF_THE_MACHINE, DataError, GaladaptError
from galadapt.prediction.package import RECORD, REFERENCE, Record, parse_record

#: Environment variable that names the store to use where none is given.
VARIABLE = "GALADAPT_MODELS"

#: Folders that are left out of a package's name.
IGNORED_FOLDERS = frozenset({"results", "presets", "models"})

#: A part of a package's name, which becomes a folder of the user's: not hidden, not "..".
_PART = re.compile(r"\w[\w .+@=-]*")

#: A package.json larger than this is none [bytes].
_LARGEST_RECORD = 4 * 2**20


@dataclass(frozen=True)
class RemotePackage:
    """A package in a store."""

    #: Its folder without results, presets and models; where that is not unique, its path.
    name: str
    path: str  #: Its folder in the store.
    record: Record


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
    remedy = "check its name" if named else f"name one with --store or {VARIABLE}"
    with contextlib.ExitStack() as stack:
        # A repository that had to be cloned lies in a temporary folder until then.
        stack.callback(clean_repos)
        if named is not None and Path(named).is_file():
            raise DataError(f"{named}: a file, where a DVC repository was expected; {remedy}")
        with _translated(where, "no DVC repository that can be opened", remedy, rev):
            files = DVCFileSystem(named, rev=rev)
            stack.callback(files.close)
            tracked = getattr(files.repo, "dvc_dir", None)
        if not tracked:
            raise DataError(f"{where}: no DVC repository; {remedy}")
        yield Store(where, files)


class Store:
    """An open store, at a folder or address; see `opened`."""

    def __init__(self, where: str, files: Any) -> None:
        """Take over an open `dvc.api.DVCFileSystem`."""
        self.where = where
        #: Why a package cannot be read, by its name.
        self.broken: dict[str, str] = {}
        #: Folders that DVC tracks and that neither cache nor remote has.
        self.unreachable: list[str] = []
        self._files = files

    def packages(self) -> list[RemotePackage]:
        """Read every package.json, by name; a DataError if the store is broken."""
        self.broken, self.unreachable = {}, []
        short = {
            path: "/".join(part for part in path.split("/") if part not in IGNORED_FOLDERS)
            for path in self._folders("/")
        }
        times = Counter(short.values())
        found = []
        for path, name in short.items():
            unique = name if name and times[name] == 1 else path
            try:
                found.append(RemotePackage(unique, path, self._record(path)))
            except DataError as error:
                self.broken[unique] = str(error)
        return sorted(found, key=lambda package: package.name)

    def named(self, name: str) -> RemotePackage:
        """Find a package by its name or its path; a DataError if there is none, or a broken one."""
        packages = self.packages()
        for package in packages:
            if name in (package.name, package.path):
                return package
        if name in self.broken:
            raise DataError(f"{self.where}: {name}: {self.broken[name]}")
        names = [package.name for package in packages]
        last = name.rpartition("/")[2]
        close = [other for other in names if other.rpartition("/")[2] == last]
        close = [*close, *difflib.get_close_matches(name, names, cutoff=0.5)]
        remedy = "DVC tracks no package there"
        if names:
            likely = " or ".join(dict.fromkeys(close[:3]))
            remedy = f"did you mean {likely}?" if close else f"it has {', '.join(names)}"
        gaps = f"; {self.gaps()}" if self.unreachable else ""
        raise DataError(f"{self.where}: no package '{name}'; {remedy}{gaps}")

    def gaps(self) -> str:
        """Name the tracked folders that are unreachable."""
        return f"not read, for neither cache nor remote has them: {', '.join(self.unreachable)}"

    def copy(self, package: RemotePackage, folder: Path) -> None:
        """Copy a package's files, and no other, into an existing folder.

        Raises:
            DataError: a file is missing, or the remote does not respond.
        """
        names = [member.file for member in package.record.members]
        # Its record comes last, as where it was made: without one a folder is no package.
        for name in (*names, REFERENCE, RECORD):
            place = f"{package.path}/{name}"
            remedy = "push it there with `dvc push`, or name another store"
            with _translated(f"{self.where}: {place}", "cannot be fetched", remedy):
                self._files.get_file(f"/{place}", str(folder / name))

    def _folders(self, path: str) -> Iterator[str]:
        """Yield the folders below `path` that hold a package.json, none inside another."""
        try:
            with _translated(self.where, "cannot be listed", "mend the store"):
                entries = {
                    Path(entry["name"]).name: entry["type"]
                    for entry in self._files.ls(path, detail=True, dvc_only=True)
                }
        except DataError:
            if path == "/":
                raise
            self.unreachable.append(path.strip("/"))
            return
        if entries.get(RECORD) == "file":
            yield path.strip("/")
            return
        for name, kind in sorted(entries.items()):
            if kind == "directory" and _PART.fullmatch(name):
                yield from self._folders(f"{path.rstrip('/')}/{name}")

    def _record(self, path: str) -> Record:
        with (
            _translated(RECORD, "cannot be fetched", "push it there with `dvc push`"),
            self._files.open(f"/{path}/{RECORD}", "rb") as stream,
        ):
            return parse_record(stream.read(_LARGEST_RECORD), RECORD)


@contextlib.contextmanager
def _translated(what: str, problem: str, remedy: str, rev: str | None = None) -> Iterator[None]:
    """Turn any error of DVC and its remotes into one sentence."""
    try:
        yield
    except GaladaptError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            raise
        from dvc.scm import RevError

        if isinstance(error, RevError):
            raise DataError(f"{what}: no revision '{rev}'; correct --rev") from None
        # The cause is what happened; DVC's own text is often no more than "SCM error".
        text = " ".join(str(error.__cause__ or error).split())
        # The temporary folder of DVC's clone is of no interest.
        line = text.partition(" to '")[0][:160] or type(error).__name__
        raise DataError(f"{what}: {problem} ({line}); {remedy}") from None
