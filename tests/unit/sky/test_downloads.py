"""Fetching from archives that misbehave: a local server stands in for them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from galadapt.cli import main
from galadapt.config.machine import Downloads
from galadapt.core.errors import ConfigError, DataError, RunError
from galadapt.sky import downloads
from galadapt.sky.archives import (
    Archive,
    folder_of,
    is_archive,
    read_archives,
    recorded,
    unpack,
)
from galadapt.sky.downloads import fetch

BODY = b"SIMPLE  =                    T" + bytes(range(256)) * 1200
NAME = "mosaic.fits"


@dataclass
class Behaviour:
    """What the server does to requests, in the order they come; later ones are served well."""

    body: bytes = BODY
    script: list[object] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"v1"'
    length: bool = True
    drip: float = 0.0
    kind: str = "application/octet-stream"
    asked: list[dict[str, str]] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        how: Behaviour = self.server.behaviour  # type: ignore[attr-defined]
        how.asked.append({"path": self.path, **dict(self.headers.items())})
        act = how.script.pop(0) if how.script else None
        if self.path == "/gone" or act == 404:
            return self._answer(404)
        if isinstance(act, int):
            return self._answer(act, {"Retry-After": "0"})
        if act == "redirect":
            return self._answer(302, {"Location": "/elsewhere"})
        if act == "html":
            return self._answer(200, {"Content-Type": "text/html"}, b"<html>log in</html>")
        start, code = 0, 200
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if asked and how.ranges and condition in (None, how.etag):
            start, code = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(how.body):
                return self._answer(416, {"Content-Range": f"bytes */{len(how.body)}"})
        body = how.body[start:]
        self.send_response(code)
        self.send_header("Content-Type", how.kind)
        if how.etag:
            self.send_header("ETag", how.etag)
        if how.length:
            self.send_header("Content-Length", str(len(body)))
        if code == 206:
            span = f"bytes {start}-{len(how.body) - 1}/{len(how.body)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        if act == "truncate":
            body = body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):
            if how.drip or act == "drip":
                for byte in body[:400]:
                    self.wfile.write(bytes([byte]))
                    time.sleep(how.drip or 0.02)
            else:
                self.wfile.write(body)

    def _answer(self, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def archive() -> Iterator[tuple[str, Behaviour]]:
    """A server on this machine: its address and what it does."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.behaviour = Behaviour()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", server.behaviour  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_RETRIES", 2)
    monkeypatch.setattr(downloads, "_TIMEOUT", 5.0)
    monkeypatch.setattr(downloads, "_PAUSE", 0.01)


def _entry(*urls: str, **more: object) -> Archive:
    text = {"what": "a mosaic", "citation": "a paper", "licence": "public", "checked": True}
    return Archive.model_validate({"file": NAME, "urls": list(urls), **text, **more})


def _fetch(entry: Archive, folder: Path, **more: object) -> Path:
    given = {"folder": str(folder / "down"), "checksums": str(folder / "sums.txt")}
    return fetch(entry, Downloads.model_validate({**given, **more}))


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "down").iterdir())


SHA = hashlib.sha256(BODY).hexdigest()


def test_a_first_download_records_its_checksum_and_a_second_needs_no_server(archive, tmp_path):
    url, how = archive
    path = _fetch(_entry(f"{url}/{NAME}", bytes=len(BODY)), tmp_path)
    assert path.read_bytes() == BODY
    assert (tmp_path / "sums.txt").read_text() == f"{SHA}  {NAME}\n"
    assert _left(tmp_path) == [NAME]
    assert _fetch(_entry(f"{url}/{NAME}"), tmp_path, offline=True) == path
    assert len(how.asked) == 1
    check = ["sha256sum", "--quiet", "-c", "../sums.txt"]
    assert subprocess.run(check, cwd=path.parent).returncode == 0


def test_a_later_download_must_have_the_recorded_checksum(archive, tmp_path):
    url, how = archive
    entry = _entry(f"{url}/{NAME}")
    _fetch(entry, tmp_path).unlink()
    how.body = BODY[:-1] + b"?"
    with pytest.raises(DataError, match=r"has the checksum \w{12}\.\.\., not ") as caught:
        _fetch(entry, tmp_path)
    assert _left(tmp_path) == []
    assert "put it there" in str(caught.value)
    assert (tmp_path / "sums.txt").read_text().startswith(SHA)


def test_a_truncated_answer_is_continued(archive, tmp_path, capfd):
    url, how = archive
    how.script = ["truncate", "truncate"]
    assert _fetch(_entry(f"{url}/{NAME}", sha256=SHA), tmp_path).read_bytes() == BODY
    starts = [asked.get("Range") for asked in how.asked]
    assert starts[0] is None
    assert [int(text[6:-1]) for text in starts[1:]] == sorted(int(t[6:-1]) for t in starts[1:])
    assert int(starts[2][6:-1]) > int(starts[1][6:-1]) > 0
    assert how.asked[1]["If-Range"] == '"v1"'
    assert "bytes are kept, trying again in" in capfd.readouterr().err


def test_a_server_without_ranges_sends_everything_again(archive, tmp_path):
    url, how = archive
    how.ranges, how.script = False, ["truncate"]
    assert _fetch(_entry(f"{url}/{NAME}"), tmp_path).read_bytes() == BODY
    assert how.asked[1]["Range"].startswith("bytes=")


def test_a_file_that_changed_meanwhile_is_not_put_together(archive, tmp_path):
    url, how = archive
    how.script = ["truncate", 404]
    with pytest.raises(DataError, match="404"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    assert _left(tmp_path) == [f"{NAME}.part", f"{NAME}.part.json"]
    how.body, how.etag = BODY[:30] + BODY[30:][::-1], '"v2"'
    assert _fetch(_entry(f"{url}/{NAME}"), tmp_path).read_bytes() == how.body


def test_without_an_etag_another_size_restarts(archive, tmp_path):
    url, how = archive
    how.etag, how.script = None, ["truncate", 404]
    with pytest.raises(DataError, match="404"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    how.body = BODY + b"more"
    assert _fetch(_entry(f"{url}/{NAME}"), tmp_path).read_bytes() == how.body


def test_always_truncated_ends_in_one_sentence(archive, tmp_path):
    url, how = archive
    how.ranges, how.script = False, ["truncate"] * 20
    with pytest.raises(DataError, match=r"\(3 tries\)"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    assert len(how.asked) == 3
    assert not (tmp_path / "down" / NAME).exists()


def test_truncation_without_a_length_is_found_by_the_size(archive, tmp_path):
    url, how = archive
    how.length, how.script = False, ["truncate"]
    path = _fetch(_entry(f"{url}/{NAME}", bytes=len(BODY)), tmp_path)
    assert path.read_bytes() == BODY


def test_overload_is_tried_again_and_absence_is_not(archive, tmp_path):
    url, how = archive
    how.script = [503, 500]
    assert _fetch(_entry(f"{url}/{NAME}"), tmp_path).read_bytes() == BODY
    assert len(how.asked) == 3
    how.asked.clear()
    with pytest.raises(DataError, match="the server answers 404 Not Found") as caught:
        _fetch(_entry(f"{url}/gone", file="other.fits"), tmp_path)
    assert len(how.asked) == 1
    assert f"{url}/gone" in str(caught.value)
    assert str(tmp_path / "down" / "other.fits") in str(caught.value)


def test_permanent_overload_is_given_up(archive, tmp_path):
    url, how = archive
    how.script = [503] * 9
    with pytest.raises(DataError, match=r"the server answers 503 \(3 tries\)"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    assert len(how.asked) == 3
    assert _left(tmp_path) == []


def test_the_second_address_is_used_when_the_first_fails(archive, tmp_path):
    url, _ = archive
    entry = _entry(f"{url}/gone", f"{url}/{NAME}")
    assert _fetch(entry, tmp_path).read_bytes() == BODY


def test_redirects_are_followed(archive, tmp_path):
    url, how = archive
    how.script = ["redirect"]
    assert _fetch(_entry(f"{url}/{NAME}"), tmp_path).read_bytes() == BODY
    assert how.asked[1]["path"] == "/elsewhere"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bytes": 10}, f"offers {len(BODY)} bytes, not the 10 of the table"),
        ({"sha256": "0" * 64}, rf"has the checksum {SHA[:12]}\.\.\., not 0{{12}}"),
    ],
)
def test_wrong_size_and_checksum_leave_nothing(archive, tmp_path, wrong, message):
    url, _ = archive
    with pytest.raises(DataError, match=message):
        _fetch(_entry(f"{url}/{NAME}", **wrong), tmp_path)
    assert _left(tmp_path) == []
    assert not (tmp_path / "sums.txt").exists()


def test_web_pages_are_no_files(archive, tmp_path):
    url, how = archive
    how.script = ["html"]
    with pytest.raises(DataError, match="answers with a web page"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    how.body = b"<!DOCTYPE html><html>maintenance</html>"
    with pytest.raises(DataError, match="is a web page, not the file"):
        _fetch(_entry(f"{url}/list.tar", file="list.tar"), tmp_path)
    with pytest.raises(DataError, match="is a web page, not the file"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    assert not (tmp_path / "sums.txt").exists()


GZIP = gzip.compress(b"id,ra\n1,150\n" * 500, mtime=0)


def _packed_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("cat.galfit")
        member.size = 30_000
        tar.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        *((name, b"", "is empty") for name in ("a.fits", "a.gz", "a.txt", "a.tar", "a.zip", "a")),
        *(
            (name, b'{"error": "not found"}', "is a JSON document, not the file")
            for name in ("a.fits", "a.csv.gz", "a.txt", "a.tar", "a.parquet", "a.csv", "a.xml")
        ),
        *(
            (name, b"<?xml version='1.0'?><Error>gone</Error>", "is an XML document, not the file")
            for name in ("a.fits", "a.gz", "a.txt", "a.tar", "a.tar.gz", "a.galfit")
        ),
        *(
            (name, b"Service temporarily unavailable\n", "is the text 'Service temporarily")
            for name in ("a.gz", "a.txt", "a.tar", "a.zip", "a.csv", "a.xml", "a.parquet", "a.h5")
        ),
        ("a.fits", b"Service temporarily unavailable", "is not a FITS file"),
        ("a.csv.gz", GZIP[:-20], "is broken"),
        ("a.tar", _packed_tar()[:20_000], "ends too early|is broken"),
        ("a.parquet", b"PAR1 and no more", "ends too early"),
        ("a.zip", b"PK\x03\x04 and no more", "ends too early"),
        ("a.txt", b"text\0with zeros\n\n\n", "is no text"),
    ],
)
def test_what_is_not_the_file_is_never_recorded(
    archive, tmp_path, name, body, message, monkeypatch
):
    """An answer of 200 with another content, nothing, or a part of it."""
    url, how = archive
    monkeypatch.setattr(downloads, "_RETRIES", 0)
    how.body, how.length = body, False
    with pytest.raises(DataError, match=message):
        _fetch(_entry(f"{url}/q", file=name), tmp_path)
    assert not (tmp_path / "sums.txt").exists()
    assert _left(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.csv.gz", GZIP),
        ("a.tar", _packed_tar()),
        ("a.txt", b"# one\n1 2\n"),
        ("a.json", b'{"a": 1}'),
        ("a.xml", b"<?xml version='1.0'?><VOTABLE/>"),
    ],
)
def test_what_is_the_file_is_recorded(archive, tmp_path, name, body):
    url, how = archive
    how.body = body
    assert _fetch(_entry(f"{url}/q", file=name), tmp_path).read_bytes() == body
    assert (tmp_path / "sums.txt").exists()


def test_a_drip_is_given_up_and_continued(archive, tmp_path, monkeypatch):
    url, how = archive
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.5)
    how.script = ["drip"]
    begun = time.monotonic()
    path = _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    assert path.read_bytes() == BODY
    assert time.monotonic() - begun < 4
    assert int(how.asked[1]["Range"][6:-1]) > 0


def test_silence_is_given_up(archive, tmp_path, monkeypatch):
    url, how = archive
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.2)
    monkeypatch.setattr(downloads, "_RETRIES", 0)
    how.drip = 5.0
    with pytest.raises(DataError, match="no answer in time"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)


def test_progress_is_told(archive, tmp_path, capfd, monkeypatch):
    url, _ = archive
    monkeypatch.setattr(downloads, "_PROGRESS_EVERY", 0.0)
    _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    assert f"/{len(BODY) / 1e6:.1f} MB" in capfd.readouterr().err


def test_nobody_listens(tmp_path):
    with pytest.raises(DataError, match=r"no source gives the file .*refused"):
        _fetch(_entry(f"http://127.0.0.1:9/{NAME}"), tmp_path)


def test_mirrors_come_first(archive, tmp_path):
    url, how = archive
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / NAME).write_bytes(BODY)
    path = _fetch(_entry(f"{url}/{NAME}"), tmp_path, mirrors=[str(mirror)])
    assert path.read_bytes() == BODY
    assert not how.asked
    assert path.stat().st_ino == (mirror / NAME).stat().st_ino
    path.unlink()
    _fetch(_entry("http://127.0.0.1:9/never"), tmp_path, mirrors=[f"{url}/base/"])
    assert how.asked[0]["path"] == f"/base/{NAME}"


def test_a_bad_mirror_is_passed_over(archive, tmp_path, capfd):
    url, _ = archive
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / NAME).write_bytes(BODY[:1000])
    entry = _entry(f"{url}/{NAME}", sha256=SHA)
    assert _fetch(entry, tmp_path, mirrors=[str(mirror)]).read_bytes() == BODY
    assert "has the checksum" in capfd.readouterr().err
    assert (mirror / NAME).read_bytes() == BODY[:1000]


def test_offline_says_what_to_fetch_and_where_to_put_it(archive, tmp_path):
    url, how = archive
    entry = _entry(f"{url}/a", f"{url}/b")
    with pytest.raises(DataError) as caught:
        _fetch(entry, tmp_path, offline=True, mirrors=[url])
    target = tmp_path / "down" / NAME
    assert str(caught.value) == (
        f"{target}: not there, and this run is offline; fetch {url}/a or {url}/b elsewhere and put "
        "it there"
    )
    assert not how.asked
    target.write_bytes(BODY)
    assert _fetch(entry, tmp_path, offline=True) == target
    assert recorded(tmp_path / "sums.txt")[NAME] == SHA


def test_offline_still_uses_a_local_mirror(tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / NAME).write_bytes(BODY)
    entry = _entry("http://127.0.0.1:9/never")
    assert _fetch(entry, tmp_path, offline=True, mirrors=[mirror.as_uri()]).read_bytes() == BODY


def test_a_present_file_that_is_not_the_recorded_one_is_never_used(archive, tmp_path):
    url, how = archive
    entry = _entry(f"{url}/{NAME}")
    path = _fetch(entry, tmp_path)
    path.write_bytes(BODY + b"edited")
    with pytest.raises(DataError, match="delete it to have it fetched again"):
        _fetch(entry, tmp_path)
    assert path.read_bytes() == BODY + b"edited"
    assert len(how.asked) == 1


def test_generated_files_have_no_checksum(archive, tmp_path):
    url, how = archive
    entry = _entry(f"{url}/q", file="cat.tsv", generated=True)
    how.body = b"id\tra\n1\t150\n"
    _fetch(entry, tmp_path).unlink()
    how.body = b"id\tra\n1\t151\n"
    assert _fetch(entry, tmp_path).read_bytes() == how.body
    assert not (tmp_path / "sums.txt").exists()


def test_a_killed_process_leaves_a_part_that_is_continued(archive, tmp_path):
    url, how = archive
    how.script = ["drip"]
    how.body = BODY
    program = textwrap.dedent(f"""
        from galadapt.config.machine import Downloads
        from galadapt.sky.archives import Archive
        from galadapt.sky.downloads import fetch
        entry = Archive(file={NAME!r}, urls=["{url}/{NAME}"], what="", citation="", licence="",
                        checked=True)
        folder, sums = {str(tmp_path / "down")!r}, {str(tmp_path / "sums.txt")!r}
        fetch(entry, Downloads(folder=folder, checksums=sums))
    """)
    source = str(Path(downloads.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": source}
    )
    part = tmp_path / "down" / f"{NAME}.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert part.exists()
    assert not (tmp_path / "down" / NAME).exists()
    kept = part.stat().st_size
    assert _fetch(_entry(f"{url}/{NAME}"), tmp_path).read_bytes() == BODY
    assert kept > 0
    assert how.asked[1]["Range"] == f"bytes={kept}-"


def test_two_at_once_fetch_once(archive, tmp_path):
    url, how = archive
    how.drip = 0.001
    how.body = BODY[:400]
    found: list[Path] = []
    work = [
        threading.Thread(target=lambda: found.append(_fetch(_entry(f"{url}/{NAME}"), tmp_path)))
        for _ in range(3)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(found) == 3
    assert len(how.asked) == 1
    assert _left(tmp_path) == [NAME]


def test_a_full_disk_is_said_before_it_is_full(archive, tmp_path, monkeypatch):
    url, _ = archive
    usage = downloads.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RunError, match="make room"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)
    assert NAME not in _left(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(archive, tmp_path):
    url, _ = archive
    (tmp_path / "down").write_text("a file")
    with pytest.raises(RunError, match="cannot be written"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)


def test_strange_mirrors_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="must be a folder or an http, https or file address"):
        _fetch(_entry("http://127.0.0.1:9/x"), tmp_path, mirrors=["ftp://host/dir"])


def test_a_broken_ledger_is_named(archive, tmp_path):
    url, _ = archive
    (tmp_path / "sums.txt").write_text("md5 something\n")
    with pytest.raises(DataError, match="line 1 is not '<sha256>  <file>'"):
        _fetch(_entry(f"{url}/{NAME}"), tmp_path)


def _tar(path: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return path


def test_archives_are_unpacked_once_and_again_when_they_change(tmp_path):
    tar = _tar(tmp_path / "a.tar.gz", {"cosmos/cat.galfit": b"one"})
    folder = unpack(tar, tmp_path / "out")
    assert (folder / "cosmos" / "cat.galfit").read_bytes() == b"one"
    (folder / "cosmos" / "cat.galfit").write_bytes(b"kept")
    unpack(tar, tmp_path / "out")
    assert (folder / "cosmos" / "cat.galfit").read_bytes() == b"kept"
    unpack(_tar(tmp_path / "a.tar.gz", {"cosmos/cat.galfit": b"newer"}), tmp_path / "out")
    assert (folder / "cosmos" / "cat.galfit").read_bytes() == b"newer"


@pytest.mark.parametrize(
    "hostile", [{"members": {"../out.txt": b"x"}}, {"members": {}, "link": "/etc/passwd"}]
)
def test_hostile_archives_are_refused(tmp_path, hostile):
    tar = _tar(tmp_path / "a.tar.gz", **hostile)
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(tar, tmp_path / "in" / "out")
    assert not (tmp_path / "in" / "out").exists()
    assert not (tmp_path / "in" / "out.txt").exists()


def _zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, body in members.items():
            packed.writestr(name, body)
    return path


def test_zip_archives_are_unpacked_as_tar_archives_are(tmp_path):
    path = _zip(tmp_path / "a.zip", {"images/1.jpg": b"one", "images/2.jpg": b"two"})
    assert is_archive(path)
    folder = unpack(path, folder_of(path))
    assert folder == tmp_path / "a"
    assert (folder / "images" / "2.jpg").read_bytes() == b"two"
    (folder / "images" / "2.jpg").write_bytes(b"kept")
    unpack(path, folder)
    assert (folder / "images" / "2.jpg").read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("name", "folder"),
    [("a.tar.gz", "a"), ("b.v1.ZIP", "b.v1"), ("c.tgz", "c"), ("d.fits", "d.fits.unpacked")],
)
def test_an_archive_has_a_folder_of_its_name(tmp_path, name, folder):
    assert folder_of(tmp_path / name) == tmp_path / folder
    assert is_archive(name) == (name != "d.fits")


@pytest.mark.parametrize(
    "name", ["../out.txt", "in/../../out.txt", "/tmp/out.txt", "C:/out.txt", "..\\out.txt"]
)
def test_hostile_zip_archives_are_refused(tmp_path, name):
    path = _zip(tmp_path / "a.zip", {"good": b"x", name: b"x"})
    with pytest.raises(DataError, match=r"cannot be unpacked .*is outside the folder"):
        unpack(path, tmp_path / "in" / "out")
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["a.zip", "in"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_that_hold_far_more_than_their_size_are_refused(tmp_path, kind):
    members = {f"{k}.txt": bytes(4_000_000) for k in range(3)}
    make = _zip if kind == "zip" else _tar
    path = make(tmp_path / ("a.zip" if kind == "zip" else "a.tar.gz"), members)
    with pytest.raises(DataError, match=r"cannot be unpacked \(holds more than 0\.0 GB"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_broken_zip_archives_are_named(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a": os.urandom(5000)})
    whole = path.read_bytes()
    path.write_bytes(whole[:1000] + b"?" + whole[1001:])
    with pytest.raises(
        DataError, match=r"cannot be unpacked .*CRC.*; delete it and fetch it again"
    ):
        unpack(path, tmp_path / "out")
    path.write_bytes(whole[:2000])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_published_md5_is_demanded(archive, tmp_path):
    url, how = archive
    md5 = hashlib.md5(BODY).hexdigest()
    path = _fetch(_entry(f"{url}/{NAME}", md5=md5), tmp_path)
    assert (tmp_path / "sums.txt").read_text() == f"{SHA}  {NAME}\n"
    path.unlink()
    (tmp_path / "sums.txt").unlink()
    how.body = BODY[:-1] + b"?"
    with pytest.raises(DataError, match=rf"has the checksum \w{{12}}\.\.\., not {md5[:12]}"):
        _fetch(_entry(f"{url}/{NAME}", md5=md5), tmp_path)
    assert _left(tmp_path) == []


def test_broken_archives_and_foreign_folders_are_named(tmp_path):
    tar = _tar(tmp_path / "a.tar.gz", {"a": b"x" * 5000})
    tar.write_bytes(tar.read_bytes()[:30])
    with pytest.raises(DataError, match="delete it and fetch it again"):
        unpack(tar, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="not unpacked from"):
        unpack(tar, tmp_path / "mine")


def test_the_table_of_the_repository_is_whole(repository):
    table = read_archives(repository / "config" / "archives.yaml")
    for code in ("gs", "cos", "uds", "egs", "gn"):
        members = table.named(f"candels-{code}")
        assert [name.split("-")[-1] for name in members] == ["drz", "wht", "vdw2014"]
        for kind in ("drz", "wht"):
            entry = members[f"candels-{code}-{kind}"]
            assert entry.file.endswith(f"_f160w_v1.0_{kind}.fits")
            assert all(url.endswith(f"/{entry.file}") for url in entry.urls)
    assert {"vdw2012", "cosmos-23.5", "cosmos-25.2"} <= set(table.files)
    with pytest.raises(ConfigError, match="no archive 'candels'; known: candels-gs"):
        table.named("candels")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("files: {a: {file: x}}", r"files\.a\.urls: Field required"),
        ("files: [", "not valid YAML"),
        ("just text", "must contain 'files' and 'groups'"),
        ("files: {a: {file: ../x, urls: ['http://h/x']}}", r"files\.a\.file"),
        ("files: {a: {file: x, urls: ['ftp://h/x']}}", r"files\.a\.urls\.0"),
    ],
)
def test_broken_tables_are_named(tmp_path, text, message):
    path = tmp_path / "archives.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_archives(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(ConfigError, match="no such file"):
        read_archives(tmp_path / "absent.yaml")


def test_the_verb_lists_and_fetches(archive, tmp_path, capsys):
    url, how = archive
    words = "what: a mosaic, citation: a paper, licence: public, checked: true"
    table = tmp_path / "archives.yaml"
    table.write_text(
        f"files:\n  one: {{file: {NAME}, urls: ['{url}/{NAME}'], {words}}}\n"
        "groups: {all: [one]}\n"
    )
    options = ["--archives", str(table), "--to", str(tmp_path / "to")]
    options += ["--checksums", str(tmp_path / "sums.txt")]
    assert main(["download", "--list", *options]) == 0
    assert capsys.readouterr().out == "all: one\none: a mosaic; a paper; public\n"
    assert not how.asked
    assert main(["download", "all", "--offline", *options]) == 3
    assert f"offline; fetch {url}/{NAME} elsewhere" in capsys.readouterr().err
    assert main(["download", "all", "one", *options]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'to' / NAME}\n"
    assert (tmp_path / "to" / NAME).read_bytes() == BODY
    with tarfile.open(tmp_path / "to" / "pack.tar", "w") as tar:
        tar.add(tmp_path / "to" / NAME, arcname="inside.fits")
    table.write_text(table.read_text().replace(NAME, "pack.tar", 1))
    assert main(["download", "one", "--offline", "--unpack", *options]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'to' / 'pack'}\n"
    assert (tmp_path / "to" / "pack" / "inside.fits").read_bytes() == BODY
    assert main(["download", "two", *options]) == 2
    assert "no archive 'two'; known: all, one" in capsys.readouterr().err
