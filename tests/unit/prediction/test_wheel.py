"""The wheel: what is inside, and that a clean environment can measure galaxies with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pandas as pd
import pytest

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
    wanted = {
        path.relative_to(sources).as_posix()
        for kind in kinds
        for path in sources.glob(f"galadapt/**/*.{kind}")
    }
    assert wanted - inside == set()
    others = {path.suffix for path in (sources / "galadapt").rglob("*") if path.is_file()}
    assert others <= {*(f".{kind}" for kind in kinds), ".pyc"}, "name it in package-data"


def test_a_clean_environment_predicts(
    clean: Path, package: Path, sets: dict[str, Path], repository: Path
) -> None:
    galadapt = clean / "venv/bin/galadapt"
    assert "27 training runs" in run(
        galadapt, "check", repository / "config/config.yaml", folder=clean
    )
    where = run(clean / "venv/bin/python", "-c", "import galadapt as g; print(g)", folder=clean)
    assert str(clean) in where
    output = clean / "out.csv"
    command = ("predict", "--model", package, "--stamps", sets["survey"], "-o", output)
    run(galadapt, *command, folder=clean)
    measured = pd.read_csv(output, comment="#")
    assert len(measured) == 300
    assert measured["magnitude"].notna().all()


def test_what_an_extra_would_bring_is_one_sentence(clean: Path) -> None:
    done = subprocess.run(
        [clean / "venv/bin/galadapt", "models", "list"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert done.stderr == (
        "galadapt: dvc is not installed, which `galadapt models` needs; install galadapt[models]\n"
    )
