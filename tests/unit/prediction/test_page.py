"""The page of a catalogue: complete by itself, sortable, and plain about what to distrust."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from galadapt.cli import main
from galadapt.config.survey import Extraction
from galadapt.cutouts.stamps import Stamp
from galadapt.prediction import page as page_module
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.checks import fitted_pixels
from galadapt.prediction.predict import predict
from galadapt.prediction.sheet import LEFT_OUT, Pictured

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


def test_what_was_assumed_is_listed_where_it_is_read(package, sky, tmp_path):
    exposure = tmp_path / "field_exp.fits"
    shutil.copy(sky["weight"], exposure)
    inputs = Inputs(images=[sky["image"]], catalog=sky["catalog"], maps={"weight": [exposure]})
    predict(package, inputs, tmp_path / "out.csv", report=tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text("utf-8")
    listed = text[text.index("Assumed of the images") : text.index('id="distributions"')]
    assert "used as --weight, but may be an exposure map, by its name" in listed


def neighboured() -> Pictured:
    """A galaxy of 100 sigma that its model describes, and a neighbour that it does not."""
    y, x = np.mgrid[:32, :32]
    galaxy, other = (
        np.exp(-(np.hypot(y - 15.5 - dy, x - 15.5 - dx) ** 2) / 8) for dx, dy in ((0, 0), (13, 12))
    )
    noise = np.random.default_rng(3).normal(0, 1, (32, 32))
    pixels = (100 * galaxy + 200 * other + noise).astype(np.float32)
    bad = np.zeros((32, 32), bool)
    bad[:, :2] = True
    stamp = Stamp(pixels, 0, 0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.5, 100.0, 3.0, 0, bad)
    left_out = ~fitted_pixels(stamp, np.nan, Extraction())
    return Pictured(0, stamp, 100 * galaxy, left_out)


def test_what_the_fit_left_out_is_grey_in_residuals():
    """Or a masked neighbour looks like a failure of the model."""
    one = neighboured()
    assert one.left_out[:, :2].all()
    assert one.left_out[28, 28]
    assert not one.left_out[12:20, 12:20].any()
    assert np.abs(one.residual).max() < 10 < np.abs(one.residual.data).max()
    encoded = page_module._picture(one).removeprefix("data:image/png;base64,")
    picture = mpl.image.imread(io.BytesIO(base64.b64decode(encoded)))[::-1, :, :3]
    residual = picture[:, 64:]
    grey = np.abs(residual - mpl.colors.to_rgb(LEFT_OUT)).max(axis=2) < 0.01
    np.testing.assert_array_equal(grey, one.left_out)


def test_the_sheet_has_scales_and_a_caption(package, sky, tmp_path, monkeypatch):
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: drawn.append(self) or save(self, *a, **k)
    )
    inputs = Inputs(images=[sky["image"]], catalog=sky["catalog"], maps={"weight": [sky["weight"]]})
    predict(package, inputs, tmp_path / "out.csv", plot=tmp_path / "sheet.png", plot_count=1)
    (figure,) = drawn
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels.count("image and model") == labels.count("residual: image - model [sigma]") == 1
    caption = " ".join(figure.get_supxlabel().split())
    for part in ("sigma: noise of one pixel", "Grey: neighbours", "Stamps are 1.92 arcsec wide"):
        assert part in caption
    assert re.fullmatch(r"\d\S* sigma", figure.axes[0].texts[0].get_text())


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
