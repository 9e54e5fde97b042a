"""Keras computes as galadapt says, whatever the user's own files and variables are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from galadapt.core.errors import ConfigError, RunError
from galadapt.learners.keras import backend

SCRIPT = """
import json
from galadapt.config.training import Compute
from galadapt.core.provenance import environment
from galadapt.learners.keras import backend
backend.prepare(Compute())
import keras
dense = keras.layers.Dense(2)
dense.build((None, 3))
print(json.dumps({
    **environment([])["keras_settings"],
    "weights": str(dense.kernel.dtype),
    "epochs": keras.config.max_epochs(),
    "onednn": environment([])["variables"]["TF_ENABLE_ONEDNN_OPTS"],
}))
"""


def test_the_users_keras_changes_nothing(tmp_path: Path) -> None:
    theirs = tmp_path / ".keras" / "keras.json"
    theirs.parent.mkdir()
    settings = {"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first"}
    theirs.write_text(json.dumps(settings | {"backend": "jax"}))
    variables = {"KERAS_MAX_EPOCHS": "1", "TF_ENABLE_ONEDNN_OPTS": "0", "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "floatx": "float32",
        "dtype_policy": "float32",
        "epsilon": 1e-7,
        "image_data_format": "channels_last",
        "weights": "float32",
        "epochs": None,
        "onednn": "1",
    }
    assert list(theirs.parent.iterdir()) == [theirs]


def test_hidden_variables_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", "mine")
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "3")
    with backend._users_keras_hidden():
        assert "KERAS_MAX_EPOCHS" not in os.environ
        assert os.environ["KERAS_HOME"] != "mine"
    assert (os.environ["KERAS_HOME"], os.environ["KERAS_MAX_EPOCHS"]) == ("mine", "3")


def broken(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "brokenlibrary.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))


def test_a_missing_library_is_not_installed() -> None:
    with pytest.raises(ConfigError, match="'nosuchlibrary' is not installed"):
        backend._import("nosuchlibrary")


def test_a_broken_library_gives_the_loaders_own_reason(tmp_path, monkeypatch) -> None:
    broken(tmp_path, monkeypatch, "raise ImportError('GLIBC_2.99 not found')")
    with pytest.raises(RunError, match=r"installed but cannot be loaded \(GLIBC_2.99 not found\)"):
        backend._import("brokenlibrary")


def test_a_missing_part_of_a_library_is_named(tmp_path, monkeypatch) -> None:
    broken(tmp_path, monkeypatch, "import nosuchpart")
    with pytest.raises(ModuleNotFoundError, match="nosuchpart"):
        backend._import("brokenlibrary")


def test_too_little_memory_is_no_missing_library(tmp_path, monkeypatch) -> None:
    broken(tmp_path, monkeypatch, "raise ImportError('x.so: failed to map segment')")
    with pytest.raises(ImportError, match="failed to map segment"):
        backend._import("brokenlibrary")
