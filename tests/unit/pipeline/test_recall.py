"""Files linked to DVC's cache are released before Snakemake writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def recall(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(repository / "workflow"))
    return __import__("recall")


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_records_are_no_longer_linked_to_a_cache(recall, tmp_path, link) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "metadata" / "inner"
    cache.mkdir()
    folder.mkdir(parents=True)
    (cache / "one").write_text("kept")
    (cache / "one").chmod(0o444)
    link(cache / "one", folder / "record")
    (folder / "own").write_text("own")
    recall.release(tmp_path / "metadata")
    with (folder / "record").open("w") as stream:
        stream.write("written in place")
    assert (cache / "one").read_text() == "kept"
    assert sorted(path.name for path in folder.iterdir()) == ["own", "record"]
