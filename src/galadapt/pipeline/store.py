"""The tracking store: its address, whether it answers, whose runs are whose, a broken one."""

from __future__ import annotations

import contextlib
import html
import importlib.util
import os
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from galadapt.config.machine import LOCAL_STORE, Tracking
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import expand, read_json, write_json
from galadapt.core.log import log

#: Python packages that connect to a database where its address names none (SQLAlchemy's defaults).
_DRIVERS = {"postgresql": "psycopg2", "mysql": "MySQLdb", "mssql": "pyodbc"}

#: How SQLite and its migrations report a store that was written in part. A newer MLflow's is whole.
_BROKEN = re.compile(
    r"malformed|not a database|duplicate column|already exists|no such (table|column)"
    r"|out-of-date database schema|disk image",
    re.IGNORECASE,
)

#: Seconds that a server may take to answer a first question, which shows whether it answers at all.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "8", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
#: MLflow's own retries once it has: requests are repeated for some seconds, not minutes.
RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


def database(uri: str) -> Path | None:
    """Return the absolute path of an SQLite store, None for other stores.

    Raises:
        DataError: its name uses an environment variable that is not set.
    """
    if not uri.startswith(LOCAL_STORE):
        return None
    return expand(uri.removeprefix(LOCAL_STORE), beside=False).resolve()


def address(uri: str) -> str:
    """Return the address as MLflow takes it."""
    path = database(uri)
    return f"{LOCAL_STORE}{path}" if path else uri


def require(tracking: Tracking) -> None:
    """Check what can be known of a store before anything is computed.

    Raises:
        ConfigError: this machine lacks the driver of its database, or its path cannot be used.
    """
    uri = tracking.uri
    scheme, _, driver = uri.partition("://")[0].partition("+")
    module = driver or _DRIVERS.get(scheme)
    if module and importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"tracking.uri: {scheme} needs the Python package {module}, which is not installed; "
            f"install it, or use {LOCAL_STORE}mlflow.db"
        )
    try:
        path = database(uri)
    except DataError as error:
        raise ConfigError(f"tracking.uri: {error}") from None
    if path is not None and re.search(r"[?#%]", str(path)):
        raise ConfigError(
            f"tracking.uri: {path}: MLflow cannot open a database below a folder with ?, # or % in "
            "its name; name a path without them"
        )


def project_of(results: Path) -> str:
    """Return the project whose runs belong to a folder of results, named on first use.

    It goes with the results, so that a moved project stays itself; a copy beside the original
    is a project of its own.
    """
    place = results / "records" / "project.json"
    here = str(place.resolve())
    try:
        kept = read_json(place)
        name, home = str(kept["project"]), Path(kept["path"])
        if str(home) == here:
            return name
        if not home.exists():
            write_json(place, {"project": name, "path": here})
            return name
    except (DataError, KeyError, TypeError):
        pass
    name = uuid.uuid4().hex[:12]
    write_json(place, {"project": name, "path": here})
    return name


@contextlib.contextmanager
def variables(values: dict[str, str], *, override: bool = False) -> Iterator[None]:
    """Set variables of the environment, where they are not set, or all."""
    kept = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        if override or kept[name] is None:
            os.environ[name] = value
    try:
        yield
    finally:
        for name, old in kept.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old


@contextlib.contextmanager
def temporary_files(folder: Path) -> Iterator[None]:
    """Let libraries write temporary files into `folder`, not into the system's, which may be full.

    The folder is made; what is left in it is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as inner:
        tempfile.tempdir = inner
        try:
            with variables({"TMPDIR": inner}, override=True):
                yield
        finally:
            tempfile.tempdir = before


def explain(uri: str, error: Exception) -> str:
    """Say in one sentence why a store cannot be used, without credentials or pages of HTML."""
    shown = without_credentials(uri)
    status = getattr(error, "get_http_status_code", lambda: 500)()
    text = " ".join(re.sub(r"<[^>]*>", " ", html.unescape(str(error))).split())
    later = "the results are complete; run `galadapt track` once that is done"
    if database(uri) is not None:
        lower = text.lower()
        if "readonly" in lower or "unable to open" in lower or "full" in lower:
            return (
                f"{shown}: the MLflow store cannot be written ({_first(text)}); make room or "
                f"correct the permissions: {later}"
            )
        if "can't locate revision" in lower:
            return f"{shown}: written by a newer MLflow; update MLflow or name another store"
        return f"{shown}: MLflow store cannot be used ({_first(text)}); {later}"
    if status in (401, 403) or re.search(r"\b40[13]\b", text[:400]):
        return (
            f"{shown}: the tracking server refuses access; set MLFLOW_TRACKING_USERNAME and "
            f"MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN: {later}"
        )
    if status == 404 or re.search(r"\b404\b", text[:400]):
        return f"{shown}: is no MLflow tracking server (404); correct tracking.uri: {later}"
    return (
        f"{shown}: the tracking server does not answer ({_first(text)}); start it or correct "
        f"tracking.uri: {later}"
    )


def _first(text: str) -> str:
    return without_credentials(text)[:160].rstrip(" .:;")


def without_credentials(text: str) -> str:
    """Remove the user's part of every address in a text."""
    return re.sub(r"//[^/\s@]+@", "//", text)


def write_nothing(path: Path) -> None:
    """Begin to write to an SQLite store: MLflow would try for minutes what fails here at once.

    Raises:
        sqlite3.Error: it cannot be opened or written, or is no database.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=15)) as connection:
        connection.execute("BEGIN IMMEDIATE")


def broken(path: Path, error: Exception) -> bool:
    """Tell whether an SQLite store was left half-written, by an error of using it."""
    return path.is_file() and _BROKEN.search(str(error)) is not None


def set_aside(path: Path) -> Path:
    """Rename a broken store and what SQLite keeps beside it; return the new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    for suffix in ("-journal", "-wal", "-shm", ""):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    log.info(
        f"{path}: half-written, renamed {aside.name}; the runs are logged anew from their folders, "
        "those of other experiments when these are tracked (`galadapt track FILES`)"
    )
    return aside
