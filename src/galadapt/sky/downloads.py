"""Fetching published files: resumed, verified, from mirrors first, or not at all when offline.

What can be fetched is a table (`read_archives`): one entry per file with its addresses, size and
checksum where known, citation and licence. A file appears under its final name only when it is
whole and verified; what has arrived until then is kept in ``<name>.part`` and continued by the next
call, in this process or another.

Requests carries the transfer (redirects, proxies, certificates). The libraries made for fetching
files were tried against the cases that matter for files of gigabytes: pooch (verifies, has no
resuming or mirrors) and astropy.utils.data (mirrors, but neither resuming nor checksums).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3
import yaml
from pydantic import Field, ValidationError, model_validator

from galadapt.config.base import Section
from galadapt.core.errors import ConfigError, DataError, RunError
from galadapt.core.files import atomic, expand, write_text
from galadapt.core.log import log

#: Answers worth another try on the same server: it is overloaded or restarting.
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})

_CHUNK = 2**20

#: Longest pause between two tries, whatever the server asks for [s].
_LONGEST_PAUSE = 60.0

#: A connection slower than this for the whole of the stall timeout counts as stalled [bytes/s].
_SLOWEST = 1024

#: Seconds between two lines of progress.
_TELL_EVERY = 5.0

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
    checked: bool = Field(description="Whether the addresses have been seen to answer.")
    note: str = ""


class Archives(Section):
    """The table of what can be fetched, and names for sets of it."""

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
        ConfigError: the file is missing, is not YAML, or an entry is not as `Archive` says.
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
        raise ConfigError(f"{path}: must hold 'files' and 'groups'")
    try:
        # Keys starting with a dot hold text shared by entries.
        return Archives.model_validate({k: v for k, v in values.items() if k[:1] != "."})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "table"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {key}: {message}; correct it") from None


def fetch(
    entry: Archive,
    folder: str | Path,
    *,
    mirrors: Sequence[str] = (),
    offline: bool = False,
    checksums: str | Path = "config/checksums.txt",
    retries: int = 5,
    timeout: float = 60.0,
    pause: float = 1.0,
) -> Path:
    """Return the file of `entry` in `folder`, fetching it if it is not there.

    Args:
        entry: What to fetch.
        folder: Where it lies or shall lie; made if needed.
        mirrors: Local folders or base URLs that hold the file under its own name; tried before
            the entry's addresses, in this order.
        offline: Use no network: the file is in `folder`, in a local mirror, or missing.
        checksums: File in the format of ``sha256sum``. Where the entry has no checksum, the one
            recorded here is demanded, and that of a first download is recorded.
        retries: Further tries of one address after overload, time-out or a broken connection; a
            try that brings 1 MiB or more starts the count again.
        timeout: Give a connection up that brings less than 1 KiB/s over this time [s].
        pause: Before the first further try [s]; doubled every time, at most 60 s.

    Returns:
        Path of the verified file.

    Raises:
        DataError: no source has the file, or it is not the file of the entry (size, checksum,
            kind); the message names every source tried, or offline where to put the file.
        RunError: it cannot be written.
    """
    folder = Path(folder)
    target = folder / entry.file
    ledger = Ledger(checksums)
    wanted = entry.sha256 or (None if entry.generated else ledger.known(entry.file))
    if target.is_file():
        return _accept_present(target, entry, wanted, ledger)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(target.with_name(f"{entry.file}.part")) as part:
            if target.is_file():
                return _accept_present(target, entry, wanted, ledger)
            job = _Job(entry, part, wanted, retries, timeout, pause)
            digest = _from_any_source(job, target, mirrors, offline)
            if wanted is None and not entry.generated:
                ledger.record(entry.file, digest)
    except OSError as error:
        raise RunError(
            f"{target}: cannot be written ({error.strerror or error}); make room or choose "
            "another folder"
        ) from None
    return target


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
    fresh = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        fresh.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            tar.extractall(fresh, filter="data")
        (fresh / ".unpacked").write_text(mark)
        if folder.exists():
            shutil.rmtree(folder)
        with contextlib.suppress(FileExistsError):
            fresh.rename(folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); delete it and fetch it again"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


class Ledger:
    """Checksums of what was downloaded: a text file ``sha256sum -c`` understands."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def _read(self) -> dict[str, str]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        known = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            digest, _, name = line.partition("  ")
            if len(digest) != 64 or not name:
                raise DataError(
                    f"{self.path}: line {number} is not '<sha256>  <file>'; repair or remove it"
                )
            known[name] = digest.lower()
        return known

    def known(self, name: str) -> str | None:
        """Return the recorded checksum of a file, or None."""
        return self._read().get(name)

    def record(self, name: str, digest: str) -> None:
        """Add a checksum; what another process records at the same time is kept."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            known = self._read() | {name: digest}
            write_text(self.path, "".join(f"{known[name]}  {name}\n" for name in sorted(known)))
        finally:
            os.close(folder)
        log.info(
            f"{self.path}: recorded the checksum of {name}; keep this file under version control"
        )


class _Failed(Exception):
    """This source does not give the file; another may."""


class _Broken(Exception):
    """The transfer broke; the same source may give the rest."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass
class _Job:
    entry: Archive
    part: Path
    wanted: str | None
    retries: int
    timeout: float
    pause: float

    @property
    def origin(self) -> Path:
        """What the part was begun from: address, validator, size."""
        return self.part.with_name(f"{self.part.name}.json")

    def discard(self) -> None:
        """Forget what has arrived; the part itself stays, for it holds the lock."""
        os.truncate(self.part, 0)
        self.origin.unlink(missing_ok=True)


def _accept_present(target: Path, entry: Archive, wanted: str | None, ledger: Ledger) -> Path:
    try:
        digest = _verify(target, entry, wanted)
    except _Failed as reason:
        raise DataError(f"{target}: {reason}; delete it to have it fetched again") from None
    if wanted is None and not entry.generated:
        ledger.record(entry.file, digest)
    return target


def _verify(path: Path, entry: Archive, wanted: str | None) -> str:
    """Check size, kind and checksum of a whole file; return its checksum."""
    size = path.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        raise _Failed(f"has {size} bytes, not {entry.bytes}")
    with path.open("rb") as stream:
        head = stream.read(512).lstrip()
        if entry.file.endswith((".fits", ".fit")) and not head.startswith(b"SIMPLE  ="):
            raise _Failed("is not a FITS file")
        if head[:15].lower().startswith((b"<!doctype html", b"<html")):
            raise _Failed("is a web page, not the file")
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if wanted is not None and digest != wanted:
        raise _Failed(f"has the checksum {digest[:12]}..., not {wanted[:12]}...")
    return digest


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[Path]:
    """Hold the part for this process alone; another one that wants it waits."""
    while True:
        stream = part.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info(f"{part}: waiting for another process that is fetching it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        # Whoever held it may have renamed or removed it.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(stream.fileno()).st_ino == part.stat().st_ino:
                break
        stream.close()
    try:
        yield part
    finally:
        if part.exists() and part.stat().st_size == 0:
            part.unlink()
        stream.close()


def _from_any_source(job: _Job, target: Path, mirrors: Sequence[str], offline: bool) -> str:
    """Try every source in turn; return the checksum of the file now at `target`."""
    failures = []
    sources = [_mirror_url(mirror, job.entry.file) for mirror in mirrors] + job.entry.urls
    for source in dict.fromkeys(sources):
        local = _local(source)
        if local is None and offline:
            continue
        try:
            if local is not None:
                return _copy(local, target, job)
            _download(source, job)
            return _finish(source, target, job)
        except _Failed as reason:
            failures.append(f"{source}: {reason}")
            log.info(f"{job.entry.file}: {failures[-1]}")
    addresses = " or ".join(job.entry.urls)
    if offline:
        also = f" (tried {'; '.join(failures)})" if failures else ""
        raise DataError(
            f"{target}: not there, and this run is offline; fetch {addresses} elsewhere and put "
            f"it there{also}"
        )
    raise DataError(
        f"{target}: no source gives the file ({'; '.join(failures)}); fetch it by other means from "
        f"{addresses} and put it there"
    )


def _mirror_url(mirror: str, name: str) -> str:
    if "://" not in mirror:
        return (expand(mirror).absolute() / name).as_uri()
    if urlsplit(mirror).scheme not in ("http", "https", "file"):
        raise ConfigError(f"mirror {mirror}: must be a folder or an http, https or file address")
    return f"{mirror.rstrip('/')}/{name}"


def _local(source: str) -> Path | None:
    parts = urlsplit(source)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _copy(source: Path, target: Path, job: _Job) -> str:
    """Take a file of this machine: linked when the file system allows, else copied."""
    if not source.is_file():
        raise _Failed("no such file")
    digest = _verify(source, job.entry, job.wanted)
    link_or_copy(source, target)
    job.discard()
    return digest


def link_or_copy(source: Path, target: Path, symbolic: bool = False) -> None:
    """Give a file a second name without a second copy of its bytes, where that is possible.

    Args:
        source: Existing file.
        target: Replaced atomically: a hard link, else (if `symbolic`) a symbolic link, else a copy.
        symbolic: Whether a symbolic link will do.
    """
    source = source.resolve()
    with atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            if symbolic:
                temporary.symlink_to(source)
            else:
                shutil.copyfile(source, temporary)


def _finish(url: str, target: Path, job: _Job) -> str:
    """Verify the whole part and rename it; what was put together wrongly is fetched once more."""
    begun = _read_origin(job)
    try:
        digest = _verify(job.part, job.entry, job.wanted)
    except _Failed:
        job.discard()
        if not begun.get("resumed"):
            raise
        log.info(
            f"{job.entry.file}: the continued download does not verify; fetching it from the start"
        )
        _download(url, job)
        try:
            digest = _verify(job.part, job.entry, job.wanted)
        except _Failed:
            job.discard()
            raise
    job.part.rename(target)
    job.origin.unlink(missing_ok=True)
    return digest


def _download(url: str, job: _Job) -> None:
    """Bring the part to its full length from one address."""
    failures = 0
    best = job.part.stat().st_size
    while True:
        try:
            return _transfer(url, job)
        except _Broken as broken:
            size = job.part.stat().st_size
            # A server that always restarts from nothing brings nothing new.
            failures = 1 if size >= best + _CHUNK else failures + 1
            best = max(best, size)
            if failures > job.retries:
                raise _Failed(f"{broken} ({failures} tries)") from None
            wait = min(max(job.pause * 2 ** (failures - 1), broken.pause), _LONGEST_PAUSE)
            log.info(f"{url}: {broken}; {size} bytes are kept, trying again in {wait:.3g} s")
            time.sleep(wait)


def _read_origin(job: _Job) -> dict[str, Any]:
    try:
        found = json.loads(job.origin.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _transfer(url: str, job: _Job) -> None:
    """Make one request, continuing the part if that is safe.

    Raises:
        _Broken: worth another try.
        _Failed: not.
    """
    origin = _read_origin(job)
    start = job.part.stat().st_size
    # Without a checksum to judge the whole, only bytes of the same file may be put together.
    if start and origin.get("url") != url and job.wanted is None:
        job.discard()
        origin, start = {}, 0
    if start and start == origin.get("total"):
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "galadapt"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if origin.get("validator") and origin.get("url") == url:
            headers["If-Range"] = origin["validator"]
    try:
        with requests.get(url, headers=headers, stream=True, timeout=job.timeout) as response:
            first, total = _agree(response, start, origin, job)
            if first is None:
                return
            begun = {"url": url, "total": total, "validator": _validator(response.headers)}
            write_text(job.origin, json.dumps(begun | {"resumed": first > 0}))
            _check_room(job, first, total)
            got = _receive(response, job, first, total)
    except requests.exceptions.InvalidSchema as error:
        raise _Failed(f"redirects to what is not http ({error})") from None
    except (
        requests.exceptions.Timeout,
        requests.exceptions.ConnectionError,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.HTTPError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise _Broken(_reason(error)) from None
    except requests.exceptions.RequestException as error:
        raise _Failed(_reason(error)) from None
    if total is not None and got < total:
        raise _Broken(f"the connection closed after {got} of {total} bytes")
    if total is not None and got > total:
        job.discard()
        raise _Failed(f"sends more than the {total} bytes it announced")


def _agree(
    response: requests.Response, start: int, origin: Mapping[str, Any], job: _Job
) -> tuple[int | None, int | None]:
    """What the answer brings: first byte (None: nothing is missing) and size of the whole."""
    code = response.status_code
    if code in _RETRIED:
        asked = response.headers.get("Retry-After", "")
        raise _Broken(f"the server answers {code}", float(asked) if asked.isdigit() else 0.0)
    if code == 416 and start:
        total = _number(response.headers.get("Content-Range", "").rpartition("/")[2])
        if total == start:
            return None, total
        job.discard()
        raise _Broken("the part is not of this file; starting again")
    if code not in (200, 206):
        raise _Failed(f"the server answers {code} {response.reason or ''}".rstrip())
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _Failed("the server answers with a web page")
    if code == 206:
        span, _, whole = (
            response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        )
        total = _number(whole)
        if _number(span.partition("-")[0]) != start or (
            origin.get("total") is not None and total is not None and total != origin["total"]
        ):
            job.discard()
            raise _Broken("the file changed on the server; starting again")
    else:
        # The server does not continue files, or the file changed: everything comes again.
        if start:
            job.discard()
        start, total = 0, _number(response.headers.get("Content-Length", ""))
    if job.entry.bytes is not None and total not in (None, job.entry.bytes):
        job.discard()
        raise _Failed(f"offers {total} bytes, not the {job.entry.bytes} of the table")
    return start, job.entry.bytes if total is None else total


def _receive(response: requests.Response, job: _Job, start: int, total: int | None) -> int:
    """Append the body to the part; return the part's length."""
    got, since = start, time.monotonic()
    window, told = (since, got), (since, got)
    with job.part.open("ab") as part:
        while True:
            # One read of the socket at most: a full chunk of a dripping server may take hours.
            block = response.raw.read1(_CHUNK, decode_content=False)
            if not block:
                return got
            part.write(block)
            part.flush()
            got += len(block)
            now = time.monotonic()
            if now - window[0] >= job.timeout:
                if got - window[1] < _SLOWEST * job.timeout:
                    raise _Broken(f"only {got - window[1]} bytes in {job.timeout:g} s")
                window = (now, got)
            if now - told[0] >= _TELL_EVERY:
                _tell(job.entry.file, got, total, (got - told[1]) / max(now - told[0], 1e-9))
                told = (now, got)


def _tell(name: str, got: int, total: int | None, rate: float) -> None:
    of = f"/{total / 1e6:.1f}" if total else ""
    left = f", {(total - got) / rate:.0f} s left" if total and rate else ""
    log.info(f"{name}: {got / 1e6:.1f}{of} MB, {rate / 1e6:.2f} MB/s{left}")


def _check_room(job: _Job, start: int, total: int | None) -> None:
    free = shutil.disk_usage(job.part.parent).free
    if total is not None and total - start > free:
        raise RunError(
            f"{job.part}: needs {(total - start) / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB "
            "left; make room or choose another folder"
        )


def _validator(headers: Mapping[str, str]) -> str | None:
    """What tells this file from a later one: a strong ETag, else the date of its last change."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    return " ".join(str(inner).split()).rstrip(".") or type(error).__name__
