"""Fetching published files: resumed, verified, from mirrors first, or not at all when offline.

A file appears under its final name only when it is whole and verified; what has arrived until then
is kept in ``<name>.part`` and continued by the next call, in this process or another.

Requests carries the transfer (redirects, proxies, certificates). pooch 1.9 was tried: it would
replace the comparison of a checksum and a rename, has no resuming, no mirrors and no time-out of
slow connections, and unpacks tar archives unfiltered on Python 3.11.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from galadapt.config.machine import Downloads
from galadapt.core.errors import ConfigError, DataError, RunError
from galadapt.core.files import atomic, expand, lock, write_text
from galadapt.core.log import log
from galadapt.sky.archives import Archive, record, recorded
from galadapt.sky.contents import fault

#: Status codes worth another try on the same server: it is overloaded or restarting.
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})

#: Errors of a transfer worth another try.
_TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
)

_CHUNK = 2**20

#: Further tries of one address; one that brings a chunk or more starts the count again.
_RETRIES = 5

#: Pause before the first further try, doubled every time, and the longest one, whatever the server
#: demands [s].
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

#: A connection slower than this [bytes/s] for so long [s] is given up.
_SLOWEST, _TIMEOUT = 1024, 60.0

_PROGRESS_EVERY = 5.0  #: seconds between two lines of progress


def fetch(entry: Archive, downloads: Downloads) -> Path:
    """Return the verified file of `entry` in the folder of downloads, fetching it if it is missing.

    Mirrors hold the file under its own name and are tried before the entry's addresses. Offline it
    is in the folder, in a local mirror, or missing. Where the entry has no checksum, the one that
    the file of checksums records is required, and that of a first download is recorded.

    Raises:
        DataError: no source has the file, or it is not the file of the entry (size, checksum,
            kind); the message names every source tried, or offline where to put the file.
        RunError: it cannot be written.
    """
    target, checksums = expand(downloads.folder) / entry.file, expand(downloads.checksums)
    known = entry.sha256 or (None if entry.generated else recorded(checksums).get(entry.file))
    digest = None
    try:
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with _alone(target.with_name(f"{entry.file}.part")) as path:
                # Another process may have fetched it while this one waited.
                if not target.is_file():
                    part = _Part(path, entry, known)
                    digest = _from_any_source(part, target, downloads)
        if digest is None:
            digest = _verify(target, entry, known)
        if known is None and not entry.generated:
            record(checksums, entry.file, digest)
    except _Failed as reason:
        raise DataError(f"{target}: {reason}; delete it to have it fetched again") from None
    except OSError as error:
        raise RunError(
            f"{target}: cannot be written ({error.strerror or error}); make room or choose "
            "another folder"
        ) from None
    return target


def link_or_copy(source: Path, target: Path, symbolic: bool = False) -> None:
    """Replace `target` atomically by a hard link, else (if `symbolic`) a soft link, else a copy."""
    source = source.resolve()
    with atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            if symbolic:
                temporary.symlink_to(source)
            else:
                shutil.copyfile(source, temporary)


class _Failed(Exception):
    """This source does not give the file; another may."""


class _Broken(Exception):
    """The transfer broke; the same source may give the rest."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass
class _Part:
    """The file of what has arrived of `entry`, whose checksum is `known` or None; see `fetch`."""

    path: Path
    entry: Archive
    known: str | None

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def origin(self) -> Path:
        """JSON of what it was begun from: address, validator, size of the whole."""
        return self.path.with_name(f"{self.path.name}.json")

    def begun(self) -> dict[str, Any]:
        """Read `origin`; empty if there is none."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self.origin.read_text()))
        return {}

    def discard(self) -> None:
        """Forget what has arrived; the file itself stays, for it holds the lock."""
        os.truncate(self.path, 0)
        self.origin.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[Path]:
    """Hold the part for this process alone; another one that needs it waits."""
    while True:
        stream = part.open("ab")
        lock(stream.fileno(), part, f"{part}: waiting for another process that is fetching it")
        # The process that held it may have renamed or removed it.
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


def _verify(path: Path, entry: Archive, known: str | None) -> str:
    """Check size, kind and checksum of a whole file; return its checksum."""
    size = path.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        raise _Failed(f"has {size} bytes, not {entry.bytes}")
    wrong = fault(path, entry.file, whole=known is None and entry.md5 is None)
    if wrong is not None:
        raise _Failed(wrong)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        weak = hashlib.file_digest(stream, "md5").hexdigest() if entry.md5 else None
    for found, expected in ((digest, known), (weak, entry.md5)):
        if found and expected and found != expected:
            raise _Failed(f"has the checksum {found[:12]}..., not {expected[:12]}...")
    return digest


def _from_any_source(part: _Part, target: Path, downloads: Downloads) -> str:
    """Try every source in turn; return the checksum of the file now at `target`."""
    failures = []
    mirrored = [_mirror_url(mirror, part.entry.file) for mirror in downloads.mirrors]
    for source in dict.fromkeys(mirrored + part.entry.urls):
        address = urlsplit(source)
        try:
            if address.scheme == "file":
                return _copy(Path(unquote(address.path)), target, part)
            if not downloads.offline:
                return _download(source, target, part)
        except _Failed as reason:
            failures.append(f"{source}: {reason}")
            log.info(f"{part.entry.file}: {failures[-1]}")
    addresses = " or ".join(part.entry.urls)
    if downloads.offline:
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


def _copy(source: Path, target: Path, part: _Part) -> str:
    """Take a file of this machine: linked when the file system allows, else copied."""
    if not source.is_file():
        raise _Failed("no such file")
    digest = _verify(source, part.entry, part.known)
    link_or_copy(source, target)
    part.discard()
    return digest


def _download(url: str, target: Path, part: _Part) -> str:
    """Fetch from one address, in as many tries as are worth it; return the checksum."""
    failures, best = 0, part.size
    while True:
        try:
            digest = _transfer(url, part)
            break
        except _Broken as broken:
            size = part.size
            # A server that always restarts from nothing brings nothing new.
            failures = 1 if size >= best + _CHUNK else failures + 1
            best = max(best, size)
            if failures > _RETRIES:
                raise _Failed(f"{broken} ({failures} tries)") from None
            wait = min(max(_PAUSE * 2 ** (failures - 1), broken.pause), _LONGEST_PAUSE)
            log.info(f"{url}: {broken}; {size} bytes are kept, trying again in {wait:.3g} s")
            time.sleep(wait)
    part.path.rename(target)
    part.origin.unlink(missing_ok=True)
    return digest


def _transfer(url: str, part: _Part) -> str:
    """Complete the part by one request and verify it; return the checksum."""
    # Without a checksum to judge the whole, only bytes of the same file may be put together.
    if part.begun().get("url") != url and part.known is None and part.entry.md5 is None:
        part.discard()
    begun, start = part.begun(), part.size
    if not start or start != begun.get("total"):
        _request(url, part, begun)
    try:
        return _verify(part.path, part.entry, part.known)
    except _Failed as reason:
        part.discard()
        if not start:
            raise
        raise _Broken(f"put together with what was there before, it {reason}") from None


def _request(url: str, part: _Part, begun: Mapping[str, Any]) -> None:
    """Append what is missing, or everything where the server does not continue the part."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "galadapt"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if begun.get("validator") and begun.get("url") == url:
            headers["If-Range"] = begun["validator"]
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            total = _size(response, part, begun.get("total"))
            # What distinguishes this file from a later one: a strong ETag, else its date.
            etag = response.headers.get("ETag", "")
            validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
            origin = {"url": url, "total": total, "validator": validator}
            write_text(part.origin, json.dumps(origin))
            missing, free = (total or 0) - part.size, shutil.disk_usage(part.path.parent).free
            if missing > free:
                raise RunError(
                    f"{part.path}: needs {missing / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB "
                    "left; make room or choose another folder"
                )
            _receive(response, part, total)
    except _TRANSIENT as error:
        raise _Broken(_reason(error)) from None
    except requests.RequestException as error:
        raise _Failed(_reason(error)) from None
    if total is not None and part.size != total:
        broken = _Broken(f"the connection closed after {part.size} of {total} bytes")
        if part.size > total:
            part.discard()
        raise broken


def _size(response: requests.Response, part: _Part, known: int | None) -> int | None:
    """Return the size of the whole file; the part is emptied where the response restarts it.

    `known` is the size that an earlier response announced.
    """
    code, headers = response.status_code, response.headers
    if code in _RETRIED:
        pause = headers.get("Retry-After", "")
        raise _Broken(f"the server answers {code}", float(pause) if pause.isdigit() else 0.0)
    if code == 416 and part.size:
        part.discard()
        raise _Broken("the part is not of this file; starting again")
    if code not in (200, 206):
        raise _Failed(f"the server answers {code} {response.reason or ''}".rstrip())
    if headers.get("Content-Type", "").startswith("text/html"):
        raise _Failed("the server answers with a web page")
    if code == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        length = span[2] if span else ""
        if not span or int(span[1]) != part.size or length not in ("*", str(known or length)):
            part.discard()
            raise _Broken("the file changed on the server; starting again")
    else:
        # The server does not continue files, or the file changed: everything comes again.
        if part.size:
            part.discard()
        length = headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else part.entry.bytes
    if part.entry.bytes not in (None, total):
        part.discard()
        raise _Failed(f"offers {total} bytes, not the {part.entry.bytes} of the table")
    return total


def _receive(response: requests.Response, part: _Part, total: int | None) -> None:
    """Append the body to the part, unless it stalls."""
    got = part.size
    window = printed = (time.monotonic(), got)
    with part.path.open("ab") as stream:
        # One read of the socket at most: a full chunk of a dripping server may take hours.
        while block := response.raw.read1(_CHUNK, decode_content=False):
            stream.write(block)
            stream.flush()
            got += len(block)
            now = time.monotonic()
            if now - window[0] >= _TIMEOUT:
                if got - window[1] < _SLOWEST * _TIMEOUT:
                    raise _Broken(f"only {got - window[1]} bytes in {_TIMEOUT:g} s")
                window = (now, got)
            if now - printed[0] >= _PROGRESS_EVERY:
                rate = (got - printed[1]) / max(now - printed[0], 1e-9)
                of = f"{total / 1e6:.1f}" if total else "?"
                log.info(f"{part.entry.file}: {got / 1e6:.1f}/{of} MB, {rate / 1e6:.2f} MB/s")
                printed = (now, got)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    return " ".join(str(inner).split()).rstrip(".") or type(error).__name__
