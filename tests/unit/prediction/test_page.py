"""The page of a catalogue: complete by itself, sortable, and plain about what to distrust."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from galadapt.cli import main
from galadapt.prediction.inputs import Inputs
from galadapt.prediction.predict import predict

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def page(package: Path, sky: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    inputs = Inputs(images=[sky["image"]], catalog=sky["catalog"], maps={"weight": [sky["weight"]]})
    # Plot, page and catalogue of one name: none may replace another.
    predict(
        package,
        inputs,
        folder / "out.csv",
        plot=folder / "out.png",
        plot_count=2,
        report=folder / "out.html",
    )
    return folder / "out.html"


def test_nothing_of_the_same_name_is_lost(page):
    assert len(pd.read_csv(page.with_suffix(".csv"))) == 24
    assert page.with_suffix(".png").stat().st_size > 10_000


def test_the_page_needs_no_other_file(page):
    text = page.read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert text.count('class="object"') == 22
    assert text.count("<tr data-flags=") == 24


def test_every_flag_is_explained_with_what_to_do(page):
    text = page.read_text("utf-8")
    table = pd.read_csv(page.with_suffix(".csv"))
    assert (table["flags"] & (1 << 19)).any()
    assert "no_psf" in text
    assert "Give --psf." in text
    assert "What to distrust" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_table_is_sorted_and_filtered_in_a_browser(page, tmp_path):
    clicks = """
    <script>
    document.querySelectorAll('#objects thead button')[1].click();
    const choose = document.getElementById('choose');
    choose.value = 'no_stamp';
    choose.dispatchEvent(new Event('change'));
    </script></body>"""
    copy = tmp_path / "clicked.html"
    copy.write_text(page.read_text("utf-8").replace("</body>", clicks), "utf-8")
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *("--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'profile'}", copy.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "2 of 24 objects" in done.stdout
    body = done.stdout[done.stdout.index('id="objects"') :]
    rows = re.findall(r'<tr data-flags="[^"]*"(?: hidden="")?>(.*?)</tr>', body, re.S)
    values = [re.findall(r'data-value="([^"]*)"', row)[1] for row in rows]
    assert values[-2:] == ["", ""]
    magnitudes = [float(value) for value in values[:-2]]
    assert magnitudes == sorted(magnitudes)


def test_all_problems_are_named_at_once(package, sky, tmp_path, capsys):
    arguments = ["predict", "--model", str(package), "--images", str(sky["image"])]
    arguments += ["--fill", "--level", "2", "--psf-pixel-scale", "0.06"]
    arguments += ["--catalog", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.txt")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "5 problems" in error
    for part in ("--fill", "--level", "--psf-pixel-scale", "out.txt", "none.csv: no such file"):
        assert part in error


def test_nothing_measured_is_a_failure(package, sky, tmp_path, capsys):
    catalogue = tmp_path / "edge.csv"
    pd.read_csv(sky["catalog"]).tail(1).to_csv(catalogue, index=False)
    arguments = ["predict", "--model", str(package), "--images", str(sky["image"])]
    arguments += ["--catalog", str(catalogue), "-o", str(tmp_path / "out.csv")]
    assert main(arguments) == 4
    assert "none of 1 objects was measured" in capsys.readouterr().err
    assert (tmp_path / "out.csv").is_file()
