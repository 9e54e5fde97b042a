"""Fetching published votes and images from a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from galadapt.answers.votes.tree import read_campaign
from galadapt.config.machine import Downloads
from galadapt.core.errors import ConfigError, DataError
from galadapt.sky.archives import read_archives
from galadapt.stamps.format import StampSet
from galadapt.tasks.votes.data import GalaxyZooVotes
from galadapt.tasks.votes.files import read_votes
from galadapt.tasks.votes.galaxy_zoo import fetch_votes
from galadapt.tasks.votes.stages import survey_votes


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server on this machine: its address and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()
    thread.join()


def _jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def _publish(folder: Path) -> None:
    """Files as Galaxy Zoo 2 publishes them: images named by asset_id, votes by dr7objid."""
    columns = read_campaign("gz2")["counts"].tolist()
    votes = pd.DataFrame(np.zeros((2, len(columns)), int), columns=columns)
    votes["t01_smooth_or_features_a01_smooth_count"] = [40, 44]
    votes["t07_rounded_a17_in_between_count"] = [40, 44]
    votes.insert(0, "dr7objid", [587722981736120347, 587722981736120349])
    votes.to_csv(folder / "gz2_hart16.csv.gz", index=False)
    names = {"objid": votes["dr7objid"], "sample": "original", "asset_id": [3, 7]}
    pd.DataFrame(names).to_csv(folder / "gz2_filename_mapping.csv", index=False)
    with zipfile.ZipFile(folder / "images_gz2.zip", "w") as packed:
        for name in (3, 7, 8):
            packed.writestr(f"images/{name}.jpg", _jpeg(name))
        packed.writestr("__MACOSX/images/._3.jpg", b"Mac OS X")


def _listed(repository: Path, tmp_path: Path, url: str, **changes: Any) -> Downloads:
    """The repository's own table, with its Galaxy Zoo 2 files on the server."""
    text = (repository / "config" / "archives.yaml").read_text()
    for address in (
        "https://gz2hart.s3.amazonaws.com",
        "http://gz2hart.s3.amazonaws.com",
        "https://zenodo.org/records/3565489/files",
        "https://zenodo.org/record/3565489/files",
    ):
        text = text.replace(address, url)
    for file in ("images_gz2.zip", "gz2_filename_mapping.csv"):
        published = read_archives(repository / "config" / "archives.yaml")
        md5 = next(e.md5 for e in published.files.values() if e.file == file)
        ours = hashlib.md5((tmp_path / "served" / file).read_bytes()).hexdigest()
        text = text.replace(str(md5), ours)
    (tmp_path / "archives.yaml").write_text(text)
    return Downloads(
        folder=str(tmp_path / "downloads"),
        archives=str(tmp_path / "archives.yaml"),
        checksums=str(tmp_path / "sums.txt"),
        **changes,
    )


def test_a_campaign_is_fetched_unpacked_and_read(
    served: tuple[str, Path], repository: Path, tmp_path: Path
) -> None:
    url, folder = served
    _publish(folder)
    downloads = _listed(repository, tmp_path, url)
    survey = GalaxyZooVotes(campaign="gz2", side=24, crop=1.0)
    source = fetch_votes(survey, downloads)
    read_votes(survey, source, 1, tmp_path / "out.h5", tmp_path / "rejected.csv", {})
    with StampSet(tmp_path / "out.h5") as stamps:
        table = stamps.table
        assert table["name"].tolist() == ["3", "7", "8"]
        votes = table["votes_smooth-or-featured_smooth"].tolist()
        assert votes[:2] == [40, 44]
        assert np.isnan(votes[2])
        assert stamps.channels == 3
    assert (tmp_path / "rejected.csv").read_text() == "id,name,reason\n"
    # A second time needs no network, and unpacks nothing again.
    (source.images[0] / "images" / "3.jpg").write_bytes(b"kept")
    offline = downloads.model_copy(update={"offline": True})
    assert fetch_votes(survey, offline) == source
    assert (source.images[0] / "images" / "3.jpg").read_bytes() == b"kept"


def test_the_stage_fetches(
    served: tuple[str, Path],
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, folder = served
    _publish(folder)
    downloads = _listed(repository, tmp_path, url)
    monkeypatch.setenv("GALADAPT_DOWNLOADS", downloads.model_dump_json())
    survey = GalaxyZooVotes(side=24, crop=1.0, unlabelled=0)
    job = survey_votes.settings({"survey": survey.model_dump(), "seed": 1}, {}, [], [])
    outputs = {"stamps": [tmp_path / "s.h5"], "rejected": [tmp_path / "r.csv"]}
    survey_votes.run(job, {}, outputs)
    with StampSet(tmp_path / "s.h5") as stamps:
        assert stamps.table["name"].tolist() == ["3", "7"]


def test_another_file_than_the_published_one_is_refused(
    served: tuple[str, Path], repository: Path, tmp_path: Path
) -> None:
    url, folder = served
    _publish(folder)
    downloads = _listed(repository, tmp_path, url)
    (folder / "images_gz2.zip").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(DataError, match=r"images_gz2\.zip: no source gives .* has the checksum"):
        fetch_votes(GalaxyZooVotes(), downloads)


def test_your_own_addresses_need_no_entry(served: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = served
    columns = {cell.split()[0]: [0] for cell in read_campaign("desi")["counts"]}
    votes = {"dr8_id": ["331000_345"], **columns, "smooth-or-featured_artifact": [5]}
    pd.DataFrame(votes).to_parquet(folder / "core.parquet")
    with tarfile.open(folder / "cutouts.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("331000/331000_345.jpg")
        body = _jpeg(1)
        info.size = len(body)
        tar.addfile(info, io.BytesIO(body))
    packed = (folder / "cutouts.tar.gz").read_bytes()
    given = {
        "votes": {"url": f"{url}/core.parquet"},
        "images": {
            "url": f"{url}/cutouts.tar.gz?download=1",
            "bytes": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
        },
    }
    settings = {"campaign": "desi", "side": 24, "crop": 1.0, "download": given}
    survey = GalaxyZooVotes.model_validate(settings)
    (tmp_path / "archives.yaml").write_text(
        f"files:\n  one: {{file: a, urls: ['{url}/a'], what: w, citation: c, licence: l, "
        "checked: false}\n"
    )
    downloads = Downloads(
        folder=str(tmp_path / "downloads"),
        archives=str(tmp_path / "archives.yaml"),
        checksums=str(tmp_path / "sums.txt"),
    )
    source = fetch_votes(survey, downloads)
    assert source.names is None
    read_votes(survey, source, 1, tmp_path / "out.h5", tmp_path / "rejected.csv", {})
    with StampSet(tmp_path / "out.h5") as stamps:
        assert stamps.table["votes_smooth-or-featured_artifact"].tolist() == [5]
    given["images"]["sha256"] = "0" * 64
    (tmp_path / "downloads" / "cutouts.tar.gz").unlink()
    with pytest.raises(DataError, match=r"has the checksum .*, not 000000000000"):
        fetch_votes(GalaxyZooVotes.model_validate(settings), downloads)


def test_what_is_not_listed_is_named_with_the_remedy(
    served: tuple[str, Path], repository: Path, tmp_path: Path
) -> None:
    url, folder = served
    _publish(folder)
    downloads = _listed(repository, tmp_path, url)
    with pytest.raises(ConfigError, match=r"lists no 'galaxyzoo-desi-images'; give survey\.down"):
        fetch_votes(GalaxyZooVotes(campaign="desi"), downloads)
    table = {"images": {"url": f"{url}/gz2_hart16.csv.gz"}}
    with pytest.raises(ConfigError, match="images must come as a zip or tar archive; give such"):
        fetch_votes(GalaxyZooVotes.model_validate({"download": table}), downloads)
    nameless = {"votes": {"url": f"{url}/"}}
    with pytest.raises(ConfigError, match=r"survey\.download\.votes: '' is no name for a file"):
        fetch_votes(GalaxyZooVotes.model_validate({"download": nameless}), downloads)
    with pytest.raises(ValidationError, match=r"votes\.url"):
        GalaxyZooVotes.model_validate({"download": {"votes": {"url": "ftp://h/x"}}})
