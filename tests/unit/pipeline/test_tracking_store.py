"""Addresses of tracking stores, servers that do not answer, stores of several projects."""

from __future__ import annotations

import http.server
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from galadapt.cli import main
from galadapt.config.machine import Tracking
from galadapt.core.errors import ConfigError, RunError
from galadapt.core.files import expand
from galadapt.pipeline import mlflow, store
from galadapt.tasks.reading import load


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("mlflow.db", "is not an address"),
        ("sqlit:///m.db", "no store is of the kind 'sqlit'"),
        ("sqlite://m.db", "with three slashes"),
        ("sqlite:///", "with three slashes"),
        ("ftp://host", "no store is of the kind 'ftp'"),
        ("http://", "names no host"),
        ("http://me:hunter2@host:5000", "holds credentials"),
        ("https://hunter2@host", "holds credentials"),
        ("https://host/?token=hunter2", "holds credentials"),
        ("postgresql://me:hunter2@host/runs", "holds credentials"),
        ("postgresql+psycopg2://host/runs?password=hunter2", "holds credentials"),
    ],
)
def test_wrong_addresses_are_refused_and_not_repeated(uri, reason, repository, tmp_path) -> None:
    (tmp_path / "uri.yaml").write_text(f"tracking: {{uri: '{uri}'}}")
    with pytest.raises(ConfigError, match=rf"tracking\.uri: .*{reason}") as caught:
        load(repository / "config/config.yaml", tmp_path / "uri.yaml")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match=reason) as caught:
        Tracking(uri=uri)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    ["sqlite:////a/b.db", "sqlite:///m.db", "http://host:5000/base", "postgresql://me@host/runs"],
)
def test_addresses_without_secrets_are_taken(uri: str) -> None:
    assert Tracking(uri=uri).uri == uri


def test_mirrors_hold_no_secrets_either(repository, tmp_path) -> None:
    (tmp_path / "mirror.yaml").write_text("downloads: {mirrors: ['https://me:hunter2@host/data']}")
    with pytest.raises(ConfigError, match=r"downloads\.mirrors: .*holds credentials") as caught:
        load(repository / "config/config.yaml", tmp_path / "mirror.yaml")
    assert "hunter2" not in str(caught.value)


def test_a_store_lies_in_the_folder_of_the_run(monkeypatch, tmp_path) -> None:
    """Inputs are found beside a workflow that lies elsewhere; its store is not ours."""
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "m.db").write_text("")
    monkeypatch.setenv("GALADAPT_PROJECT", str(tmp_path / "workflow"))
    monkeypatch.chdir(tmp_path)
    assert expand("m.db") == tmp_path / "workflow" / "m.db"
    assert store.database("sqlite:///m.db") == tmp_path / "m.db"


def test_the_home_folder_is_expanded(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "there")
    assert store.database("sqlite:///~/m.db") == tmp_path / "m.db"
    assert store.database("sqlite:///~/$PLACE/m.db") == tmp_path / "there" / "m.db"
    assert store.database("http://host") is None


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("postgresql+nosuchdriver://host/runs", "Python package nosuchdriver"),
        ("sqlite:///$NOSUCHVARIABLE/m.db", "NOSUCHVARIABLE is not set"),
        ("sqlite:///a?b/m.db", "name a path without them"),
    ],
)
def test_check_finds_what_this_machine_cannot_open(uri, reason, repository, tmp_path, capsys):
    (tmp_path / "uri.yaml").write_text(f"tracking: {{uri: '{uri}'}}")
    config = repository / "config/config.yaml"
    assert main(["check", str(config), str(tmp_path / "uri.yaml")]) == 2
    assert reason in capsys.readouterr().err


# --- servers ----------------------------------------------------------------------------------


@contextmanager
def server(status: int) -> Iterator[str]:
    """Serve one answer to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html><head><style>p{}</style></head><h1>nginx</h1></html>")

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@contextmanager
def silent() -> Iterator[str]:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refusal(uri: str, folder: Path) -> str:
    began = time.monotonic()
    with pytest.raises(RunError) as caught:
        mlflow.track([], uri, "test", folder / "manifest.csv", {})
    assert time.monotonic() - began < 20
    message = str(caught.value)
    assert message.startswith(f"{uri}: ")
    assert "galadapt track" in message
    assert len(message) < 400
    assert "<" not in message
    assert not (folder / "manifest.csv").exists()
    return message


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Importing MLflow takes seconds, which are no part of a server's answer."""
    mlflow._mlflow()


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "MLFLOW_TRACKING_USERNAME"),
        (403, "MLFLOW_TRACKING_TOKEN"),
        (404, "no MLflow tracking server"),
        (502, "does not answer"),
    ],
)
def test_a_server_that_refuses_is_one_sentence(status, remedy, tmp_path) -> None:
    with server(status) as uri:
        assert remedy in refusal(uri, tmp_path)


def test_a_server_that_is_down_or_silent_is_one_sentence(tmp_path, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert "does not answer" in refusal(f"http://127.0.0.1:{port}", tmp_path)
    monkeypatch.setitem(store.PATIENCE, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with silent() as uri:
        assert "does not answer" in refusal(uri, tmp_path)


def test_no_secret_is_printed() -> None:
    error = OSError("cannot reach http://me:hunter2@host/api")
    assert "hunter2" not in store.explain("http://me:hunter2@host", error)


# --- projects and temporary files ---------------------------------------------------------------


def test_a_project_keeps_its_name_where_it_moves_and_a_copy_gets_its_own(tmp_path) -> None:
    here = tmp_path / "results"
    name = store.project_of(here)
    assert store.project_of(here) == name
    shutil.copytree(here, tmp_path / "copy")
    copied = store.project_of(tmp_path / "copy")
    assert copied != name
    here.rename(tmp_path / "moved")
    assert store.project_of(tmp_path / "moved") == name
    assert store.project_of(tmp_path / "copy") == copied


def test_temporary_files_lie_beside_the_results(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    monkeypatch.setattr(tempfile, "tempdir", None)
    with store.temporary_files(tmp_path / "tracking"), tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).is_relative_to(tmp_path / "tracking")
    assert list((tmp_path / "tracking").iterdir()) == []
