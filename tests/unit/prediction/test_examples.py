"""The examples run, on small data."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galadapt.cli import main

_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def run(repository, tmp_path, monkeypatch):
    """Run the cells of an example in an empty folder; returns its names."""
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")

    def run(name: str) -> dict[str, object]:
        names: dict[str, object] = {}
        cells = _CELL.findall((repository / "examples" / name).read_text(encoding="utf-8"))
        assert len(cells) > 1
        for number, cell in enumerate(cells):
            exec(compile(cell, f"{name}, cell {number + 1}", "exec"), names)
        return names

    return run


def test_a_list_is_simulated(run):
    names = run("simulate.md")
    # Of a disc the wings of the PSF are lost alone, of a spheroid its own light too.
    flux = names["flux"] / names["expected"]
    assert flux[0] == pytest.approx(1, abs=0.03)
    assert flux[1] < 0.95


def test_a_field_is_measured(run, package, tmp_path, monkeypatch):
    shutil.copytree(package, tmp_path / "home" / "models" / "small")
    monkeypatch.setenv("GALADAPT_HOME", str(tmp_path / "home"))
    names = run("measure.md")
    assert len(names["table"]) == names["count"]
    # The package was not trained: what counts is that every galaxy was found and measured.
    assert np.isfinite(np.asarray(names["table"]["ellipticity"])).all()
    assert (names["table"]["reason"] == "").all()


def test_similar_galaxies_are_found(run, package, tmp_path):
    shutil.copytree(package, tmp_path / "results/models/galaxies/asinh/transfer")
    names = run("similar.md")
    assert len(names["found"]) == 6
    assert names["found"]["distance"].is_monotonic_increasing


def test_two_methods_are_compared(run, make_run, tmp_path):
    folder = Path("runs/galaxies/asinh")
    for method in ("baseline", "transfer"):
        for seed in (1, 2):
            make_run("asinh", method, seed)
    (tmp_path / "results").mkdir()
    shutil.move(tmp_path / "runs", tmp_path / "results" / "runs")
    assert (tmp_path / "results" / folder).is_dir()
    names = run("compare.md")
    assert len(names["before"]) == len(names["after"]) > 50
    assert len(names["gain"]) == 500


def test_every_example_is_tested(repository):
    tested = set(re.findall(r'run\("([a-z_]+\.md)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert tested == {path.name for path in (repository / "examples").glob("*.md")}


@pytest.fixture
def desk(sky, package, tmp_path, monkeypatch, repository):
    """A folder with the files that README and documentation name, and a fetched package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALADAPT_HOME", str(tmp_path / "home"))
    shutil.copytree(package, tmp_path / "home" / "models" / "small")
    shutil.copytree(package, tmp_path / "results/models/galaxies/asinh/transfer")
    shutil.copy(sky["image"], "mosaic.fits")
    shutil.copy(sky["weight"], "wht.fits")
    Table.read(sky["catalog"]).write("cat.fits")
    y, x = np.mgrid[-20:21, -20:21]
    psf = np.exp(-(x**2 + y**2) / (2 * (3.0 / 2.355) ** 2))
    fits.PrimaryHDU(psf).writeto("psf.fits")
    return tmp_path


PAGES = ("README.md", "docs/getting-started/measure.md", "docs/reference/python.md")


@pytest.mark.parametrize("page", PAGES)
def test_python_of_the_pages_runs(page, desk, repository):
    text = (repository / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found
    for block in found:
        names: dict[str, object] = {}
        exec(compile(block, page, "exec"), names)
        assert len(names["table"]) == 24


@pytest.mark.parametrize("page", PAGES[:2])
def test_commands_of_the_pages_measure(page, desk, repository):
    text = (repository / page).read_text(encoding="utf-8")
    lines = re.findall(r"^galadapt (?:predict|fit-check) --images .*$", text, re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(line)[1:]
        if words[0] == "fit-check":
            words += ["--sample", "3"]
        assert main(words) == 0, line
        assert Path(words[words.index("-o") + 1]).is_file()
