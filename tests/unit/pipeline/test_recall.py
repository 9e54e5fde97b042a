"""Snakemake's records are restored from those of the jobs; links to DVC's cache are released."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from galadapt.core.files import canonical_json
from galadapt.pipeline import records


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


class Params(list):
    settings = None


TABLE = Path("results/tables/a.csv")
OLD, NEW = {"config": {"value": 1}}, {"config": {"value": 2}}


class Planning:
    """One rule that makes tables, planned with some settings."""

    def __init__(self, recall, folder: Path) -> None:
        from snakemake.io import IOFile
        from snakemake.persistence.file import FilePersistence

        self.recall, self.settings = recall, OLD
        self.persistence = FilePersistence(nolock=True, path=folder / ".snakemake")
        of_job = lambda wildcards: canonical_json(self.settings)  # noqa: E731
        of_job.stage = "tabulate"
        params = Params([of_job])
        params.settings = of_job
        output = IOFile("results/tables/{name}.csv", rule=None)
        self.rule = SimpleNamespace(name="tabulate", output=[output], params=params)

    def made(self, text: str, job: dict) -> None:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(text)
        job = {**job, "wildcards": {"name": "a"}}
        records.write("tabulate", job, {}, {"table": [TABLE]})

    def recalled(self, settings: dict) -> tuple[str, int, int]:
        """Return what Snakemake would find of the table, and the counts."""
        self.settings = {**settings, "wildcards": {"name": "a"}}
        self.persistence._clear_cache()
        self.recall.job_record.cache_clear()
        counts = self.recall.recall("results", [self.rule], self.persistence)
        self.persistence._clear_cache()
        known = self.persistence._read_record(str(TABLE))
        now = [repr(canonical_json(self.settings))]
        return ("the same" if known.params == now else "changed"), *counts


@pytest.fixture
def planning(recall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planning:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(records.VARIABLE, "results")
    return Planning(recall, tmp_path)


def test_copied_results_have_the_settings_of_their_job(planning) -> None:
    planning.made("one", OLD)
    assert planning.recalled(OLD) == ("the same", 0, 0)
    # What is restored stays restored, and a later change is seen.
    assert planning.recalled(NEW) == ("changed", 0, 0)


def test_copied_results_of_other_settings_are_stale(planning) -> None:
    planning.made("one", OLD)
    assert planning.recalled(NEW) == ("changed", 1, 0)


def test_results_without_a_record_are_unproven_until_there_is_one(planning) -> None:
    planning.made("one", OLD)
    place = records.place(Path("results"), "tabulate", {"name": "a"})
    kept = place.read_text()
    place.unlink()
    assert planning.recalled(OLD) == ("changed", 0, 1)
    place.write_text(kept)
    assert planning.recalled(OLD) == ("the same", 0, 0)


def test_a_record_of_another_file_proves_nothing(planning) -> None:
    planning.made("one", OLD)
    TABLE.write_text("another")
    assert planning.recalled(OLD) == ("changed", 0, 1)


def test_results_copied_over_others_are_of_their_own_settings(planning) -> None:
    planning.made("one", OLD)
    assert planning.recalled(OLD) == ("the same", 0, 0)
    planning.made("two", NEW)
    os.utime(TABLE, (1e9, 1e9))
    assert planning.recalled(OLD) == ("changed", 1, 0)
    assert planning.recalled(NEW) == ("the same", 0, 0)


def test_touched_results_are_hashed_once(planning, monkeypatch) -> None:
    planning.made("one", OLD)
    assert planning.recalled(OLD) == ("the same", 0, 0)
    os.utime(TABLE, (1e9, 1e9))
    assert planning.recalled(OLD) == ("the same", 0, 0)
    seen = json.loads(Path(".snakemake/galadapt-seen.json").read_text())
    assert seen == {str(TABLE): 1e9}
    with monkeypatch.context() as patch:
        patch.setattr(records.Record, "describes", lambda *_: pytest.fail("hashed again"))
        assert planning.recalled(OLD) == ("the same", 0, 0)
    planning.persistence._delete_record(str(TABLE))
    assert planning.recalled(OLD) == ("the same", 0, 0)


def test_outputs_that_may_not_be_written_are_released(planning) -> None:
    planning.made("one", OLD)
    TABLE.chmod(0o444)
    real = os.access
    planning.recall.os.access = lambda path, mode: bool(Path(path).stat().st_mode & 0o200)
    try:
        planning.recalled(OLD)
    finally:
        planning.recall.os.access = real
    assert TABLE.stat().st_mode & 0o200
