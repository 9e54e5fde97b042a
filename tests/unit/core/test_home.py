"""Users without a name, without a home, or with one that they may only read."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from galadapt.core import home


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in home._CACHES:
        monkeypatch.delenv(name, raising=False)
    kept = dict(os.environ)
    monkeypatch.setattr(os, "environ", kept)
    return kept


def test_a_home_is_left_alone(variables, tmp_path) -> None:
    variables["HOME"] = str(tmp_path)
    before = dict(variables)
    home.settle(tmp_path / "caches")
    assert variables == before
    assert not (tmp_path / "caches").exists()


@pytest.mark.parametrize("value", [None, "", "/", "/nonexistent"])
def test_without_a_home_caches_and_home_are_elsewhere(variables, tmp_path, value) -> None:
    variables.pop("HOME", None)
    if value is not None:
        variables["HOME"] = value
    home.settle(tmp_path / "caches")
    assert variables["HOME"] == str(tmp_path / "caches")
    assert Path(variables["MPLCONFIGDIR"]).is_dir()


def test_a_home_to_read_stays_home(variables, tmp_path, monkeypatch) -> None:
    variables["HOME"] = str(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    home.settle(tmp_path / "caches")
    assert variables["HOME"] == str(tmp_path)
    assert variables["XDG_CACHE_HOME"] == str(tmp_path / "caches/cache")


def test_a_user_without_a_name_has_one(variables, tmp_path, monkeypatch) -> None:
    variables["HOME"] = str(tmp_path)
    monkeypatch.setattr(getpass, "getuser", lambda: {}["uid not found"])
    home.settle(tmp_path / "caches")
    assert variables["USER"] == "galadapt"


NAMELESS = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]


def test_a_command_of_a_nameless_user_says_nothing_of_it(tmp_path, repository) -> None:
    """As in a container: an unknown user whose home is /."""
    possible = shutil.which("unshare") and not subprocess.call(
        [*NAMELESS, sys.executable, "-c", ""], stderr=subprocess.DEVNULL
    )
    if not possible:
        pytest.skip("no user namespaces here")
    script = (
        "from galadapt.cli import main; main(['check', 'config/config.yaml']);"
        "import astropy.table, matplotlib.font_manager, getpass; print(getpass.getuser())"
    )
    kept = {name: value for name, value in os.environ.items() if name not in ("USER", "LOGNAME")}
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-c", script],
        cwd=repository,
        env={**kept, "HOME": "/", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "galadapt"
    assert (done.returncode, done.stderr) == (0, "")
