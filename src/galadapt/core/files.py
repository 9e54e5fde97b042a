"""Atomic writing and plain-file formats: an output is whole or it is absent.

Every writer in galadapt goes through `atomic`: the content is written beside its destination and
renamed over it, so that a killed job never leaves a file that looks finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Container, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from galadapt.core.errors import (
    ConfigError,
    DataError,
    GaladaptError,
    RunError,
    of_the_machine,
    reading,
)
from galadapt.core.imports import OWN_FUNCTIONS, digest_of, is_import_path
from galadapt.core.log import log

if TYPE_CHECKING:
    import pandas as pd

#: Above this size a file outside the project is identified by name and size, not by content.
DIGEST_LIMIT = 64 * 2**20

_AGAIN = "delete it and rerun its stage"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block succeeds.

    The block may write a file or make a folder. The temporary name keeps the suffixes of `path`,
    because writers choose formats by them. What a killed writer of the same path left behind on
    this machine is removed first.

    Raises:
        RunError: no room, or no permission, to write, or a file is where a folder must be.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RunError(
            f"{path}: cannot be written, as {error.filename} is no folder; move it away or name "
            "another output"
        ) from None
    host = platform.node()
    for left in path.parent.glob(f".{glob.escape(host)}-*-*-{glob.escape(path.name)}"):
        process = left.name.removeprefix(f".{host}-").split("-")[0]
        if process.isdigit() and not _alive(int(process)):
            _delete(left)
    temporary = path.with_name(f".{host}-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        if temporary.is_dir():
            # A folder takes the place of an empty one only.
            _delete(path)
        temporary.replace(path)
    except OSError as error:
        reason = of_the_machine(error)
        if reason is None:
            raise
        where = path if error.filename in (None, str(temporary)) else error.filename
        raise RunError(f"{where}: {reason}, and run the command again") from None
    finally:
        _delete(temporary)


def lock(handle: int, path: Path, waiting: str = "", refused: str = "") -> None:
    """Lock an open file; while another process holds the lock raise `refused`, or log and wait.

    Where the file system has no locks, as some network file systems, it says so once and goes on.
    The lock ends when the file is closed.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if refused:
            raise RunError(refused) from None
        if waiting:
            log.info(waiting)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        without_locks(path.parent)


@cache
def without_locks(folder: Path) -> None:
    """Say once of a folder that its files cannot be locked."""
    log.info(f"{folder}: this file system has no locks; run only one process at a time here")


@contextlib.contextmanager
def locked(path: Path, waiting: str = "", refused: str = "") -> Iterator[None]:
    """Hold the `lock` of an existing file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        lock(handle, path, waiting, refused)
        yield
    finally:
        os.close(handle)


def _plain(value: Any) -> Any:
    """Turn numpy scalars and arrays into JSON values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def canonical_json(value: Any) -> str:
    """One line of JSON with sorted keys: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN is written as null."""
    clean = json.loads(json.dumps(value, default=_plain), parse_constant=lambda _: None)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(clean, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON written by `write_json`; a DataError if the file is missing or is not JSON."""
    path = _made(path)
    with reading(path, "not valid JSON", _AGAIN, ValueError):
        return json.loads(path.read_text())


def _made(path: str | Path) -> Path:
    """Return the path of a file that a stage has written; a DataError if it is missing."""
    if not Path(path).exists():
        raise DataError(f"{path}: no such file; rerun the stage that writes it")
    return Path(path)


class Kept(dict[str, Any]):
    """Values in a JSON file that may be deleted at any time: they are slow to find, not lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(GaladaptError, OSError, TypeError, ValueError):
            super().__init__(read_json(path))
        self._written = dict(self)

    def keep(self) -> None:
        """Write the file if anything is new, and may be written."""
        if self != self._written:
            self._written = dict(self)
            with contextlib.suppress(GaladaptError, OSError):
                write_json(self._path, self)


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its index."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_parquet(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet without its index."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_table(path: str | Path, needed: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet table, chosen by the suffix.

    Raises:
        DataError: the file is missing or unreadable, or lacks one of the columns `needed`.
    """
    # The command line reads small files long before it needs tables.
    import pandas as pd

    path = _made(path)
    with reading(path, "not a readable table", _AGAIN, (ValueError, OSError)):
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    require(table, needed, path, "rerun its stage")
    return table


def require(
    given: Container[Any],
    needed: Iterable[str],
    path: str | Path,
    remedy: str = "add what is missing",
    what: str = "column",
) -> None:
    """Raise a DataError, which ends in `remedy`, if the content of a file lacks a name.

    `what` states what the names are; "": left out.
    """
    missing = ", ".join(f"'{name}'" for name in needed if name not in given)
    if missing:
        kind = f"the {what}{'s' if ',' in missing else ''} " if what else ""
        raise DataError(f"{path}: lacks {kind}{missing}; {remedy}")


def write_text(path: str | Path, text: str) -> None:
    """Write text in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


#: The folder of the workflow, where it is not run in its own folder.
PROJECT_VARIABLE = "GALADAPT_PROJECT"


def expand(path: str, *, beside: bool = True) -> Path:
    """Expand environment variables and ``~`` in a path; a DataError if a variable is not set.

    A relative path is one below the current folder or, where nothing is there and a workflow that
    lies elsewhere has the file, below the folder of the workflow (not for files to be written:
    `beside` is False).
    """
    expanded = os.path.expandvars(path)
    unset = re.search(r"\$\{?(\w+)", expanded)
    if unset:
        raise DataError(
            f"{path}: the environment variable {unset[1]} is not set; set it or give the whole path"
        )
    found = Path(expanded).expanduser()
    if not beside or found.is_absolute() or split_extension(found)[0].exists():
        return found
    there = Path(os.environ.get(PROJECT_VARIABLE, ".")) / found
    return there if split_extension(there)[0].exists() else found


#: A file with an extension behind it, as in cfitsio: ``file.fits[WHT]``, ``[2]``, ``[SCI,2]``.
_EXTENDED = re.compile(r"(?P<file>.+)\[(?P<extension>[^\[\]]+)\]")

#: Number or name of an extension, or its name and version (EXTVER).
Extension: TypeAlias = int | str | tuple[str, int]


def split_extension(path: Path) -> tuple[Path, Extension | None]:
    """Split ``file.fits[WHT]`` or ``file.fits[2]`` into the file and the extension named.

    Returns:
        The file; number (0 is the first, primary one), name, or name and version of the extension,
        None where none is named. A file that has brackets in its own name is that file.
    """
    found = _EXTENDED.fullmatch(str(path))
    if found is None or path.exists():
        return path, None
    return Path(found["file"]), extension_of(found["extension"])


def extension_of(text: str) -> Extension:
    """Read an extension: ``2`` is a number, ``WHT`` a name, ``SCI,2`` a name and its version."""
    name, _, version = (part.strip() for part in text.partition(","))
    if version.isdecimal():
        return name, int(version)
    return int(name) if name.isdecimal() else text.strip()


def shown(extension: Extension) -> str:
    """Write an extension as `extension_of` reads it."""
    return ",".join(map(str, extension)) if isinstance(extension, tuple) else str(extension)


class _OneOfEach(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: YAML would drop the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ConfigError(
                    f"'{key.value}' stands twice, in lines {lines[key.value]} and {line}; join them"
                )
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file; a key may stand in a mapping once.

    Raises:
        ConfigError: the file is missing, is not YAML, or has a key twice.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _OneOfEach)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; correct the path (see config/presets)") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder; name the YAML file in it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML: {line}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def external_digest(values: Any) -> dict[str, str]:
    """Digest every file or folder that a configuration names under ``path`` or ``directory``.

    Of functions of the user's own (`OWN_FUNCTIONS`) their code counts.

    Small files count by their bytes, files over `DIGEST_LIMIT` by name and size, so that a survey
    of many gigabytes does not have to be read to know whether a job is up to date.

    Raises:
        ConfigError: a function's file is missing, broken or lacks it.
        DataError: nothing exists at a path, or it names an unset variable.
    """
    found: dict[str, str] = {}

    def walk(node: Any, key: str) -> None:
        if not isinstance(node, dict):
            return
        for name, value in node.items():
            inner = f"{key}.{name}" if key else name
            if name in ("path", "directory") and isinstance(value, str):
                found[inner] = _content_digest(expand(value), inner)
            elif name in OWN_FUNCTIONS and isinstance(value, str) and is_import_path(value):
                found[inner] = digest_of(value)
            walk(value, inner)

    walk(values, "")
    return found


def _content_digest(path: Path, key: str) -> str:
    path, extension = split_extension(path)
    if not path.exists():
        raise DataError(f"{key}: nothing at {path}; correct the path or fetch the data")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    total = hashlib.sha256(b"" if extension is None else shown(extension).encode())
    for file in files:
        size = file.stat().st_size
        total.update(f"{file.name}:{size}:".encode())
        if size <= DIGEST_LIMIT:
            total.update(file.read_bytes())
    return total.hexdigest()[:16]
