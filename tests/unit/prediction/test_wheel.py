"""The wheel: what is inside, and that a clean environment can measure galaxies with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.general.package import RELEASED

UV = Path(sys.executable).with_name("uv")


def run(*command: object, folder: Path) -> str:
    """Run a command as a user does, who has no checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: building leaves folders behind in its sources."""
    sources = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, sources)
    shutil.copytree(repository / "src/galadapt", sources / "src/galadapt")
    build = ("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    run(UV, *build, "--out-dir", sources / "dist", sources, folder=sources)
    (built,) = (sources / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment that holds the wheel and what its extra `predict` brings."""
    try:
        urllib.request.urlopen("https://pypi.org/simple/galsim/", timeout=10).close()
    except OSError as error:
        if not os.environ.get("CI"):
            pytest.skip(f"PyPI cannot be reached ({error})")
    folder = tmp_path_factory.mktemp("clean")
    run(UV, "venv", "--quiet", "--python", sys.executable, "venv", folder=folder)
    wanted = f"galadapt[predict] @ {wheel.as_uri()}"
    pins = repository / "envs" / "cpu.txt"
    install = ("pip", "install", "--quiet", "--python", "venv/bin/python", "--constraints", pins)
    run(UV, *install, wanted, folder=folder)
    return folder


def test_the_wheel_holds_its_licence_and_every_data_file(wheel: Path, repository: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside)
    sources = repository / "src"
    kinds = ("py", "csv", "html", "css", "typed")
    released = {path.relative_to(sources).as_posix() for path in RELEASED.iterdir()}
    assert released and released - inside == set()
    wanted = {
        path.relative_to(sources).as_posix()
        for kind in kinds
        for path in sources.glob(f"galadapt/**/*.{kind}")
    }
    assert wanted - inside == set()
    others = {path.suffix for path in (sources / "galadapt").rglob("*") if path.is_file()}
    assert others <= {*(f".{kind}" for kind in kinds), ".pyc", ".onnx", ".json"}, (
        "name it in package-data"
    )


def test_a_clean_environment_predicts(clean: Path, repository: Path) -> None:
    galadapt = clean / "venv/bin/galadapt"
    assert "27 training runs" in run(
        galadapt, "check", repository / "config/config.yaml", folder=clean
    )
    where = run(clean / "venv/bin/python", "-c", "import galadapt as g; print(g)", folder=clean)
    assert str(clean) in where
    psf = galsim.Convolve(galsim.Moffat(beta=3, fwhm=0.8), galsim.Pixel(0.25))
    galaxy = galsim.Convolve(galsim.Exponential(half_light_radius=1.0, flux=2000.0), psf)
    drawing = {"scale": 0.25, "method": "no_pixel"}
    image = galaxy.drawImage(nx=151, ny=151, **drawing).array
    image = image + np.random.default_rng(1).normal(0, 0.3, image.shape)
    header = fits.Header({"ABZP": 25.0, "BUNIT": "electron/s"})
    fits.writeto(clean / "image.fits", image.astype(np.float32), header)
    fits.writeto(clean / "psf.fits", psf.drawImage(nx=41, ny=41, **drawing).array)
    (clean / "list.csv").write_text("id,x,y\n1,75,75\n")
    # The released package, in an environment without TensorFlow.
    done = subprocess.run([clean / "venv/bin/python", "-c", "import keras"], check=False)
    assert done.returncode != 0
    output = clean / "out.csv"
    images = ("--images", clean / "image.fits", "--catalog", clean / "list.csv")
    command = ("predict", *images, "--psf", clean / "psf.fits", "--pixel-scale", "0.25")
    run(galadapt, *command, "-o", output, folder=clean)
    (measured,) = pd.read_csv(output, comment="#").to_dict("records")
    assert abs(measured["magnitude"] - (25 - 2.5 * np.log10(2000))) < 0.15
    assert abs(measured["effective_radius_arcsec"] - 1.0) < 0.15


def test_packages_of_trained_runs_need_no_keras(
    clean: Path, package: Path, sets: dict[str, Path]
) -> None:
    command = ("predict", "--model", package, "--stamps", sets["survey"], "-o", clean / "o.csv")
    run(clean / "venv/bin/galadapt", *command, folder=clean)
    assert len(pd.read_csv(clean / "o.csv", comment="#")) == 300


def test_what_an_extra_would_bring_is_one_sentence(clean: Path) -> None:
    done = subprocess.run(
        [clean / "venv/bin/galadapt", "models", "list"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert done.stderr == (
        "galadapt: dvc is not installed, which `galadapt models` needs; install galadapt[models]\n"
    )
