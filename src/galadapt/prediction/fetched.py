"""Prediction packages on this machine: those that were fetched, and which one is used."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.log import log
from galadapt.learners.keras import backend
from galadapt.prediction.package import RECORD, Record, newest_package, packages_under, read_package
from galadapt.prediction.store import opened

#: Environment variable that names galadapt's own folder of this user.
HOME = "GALADAPT_HOME"


def models_folder() -> Path:
    """Where fetched packages lie: `models` in GALADAPT_HOME or in the platform's data folder."""
    from platformdirs import user_data_path

    home = os.environ.get(HOME)
    return (Path(home).expanduser() if home else user_data_path("galadapt")) / "models"


def fetched() -> dict[str, Path]:
    """Name the fetched packages, the newest last: {name: folder}."""
    root = models_folder()
    return {path.relative_to(root).as_posix(): path for path in packages_under(root)}


def locate(given: str | Path) -> Path:
    """Find a package by its folder or by the name it was fetched under.

    Raises:
        DataError: it is neither.
    """
    folder = Path(given)
    known = fetched()
    if folder.exists() or str(given) not in known:
        return folder
    return known[str(given)]


def default_package(made_here: Path) -> Path:
    """Choose the package to measure with where none is named.

    That is the newest one in the folder where this checkout makes them, else the newest fetched.

    Raises:
        DataError: there is none.
    """
    for models in (made_here, models_folder()):
        if packages_under(models):
            return newest_package(models)
    raise DataError(
        f"no prediction package in {made_here} and none fetched; `galadapt models fetch` one, make "
        "one with `make demo`, or name one with --model"
    )


def fetch(
    name: str,
    store: str | None = None,
    rev: str | None = None,
    output: Path | None = None,
    replace: bool = False,
) -> Path:
    """Copy a package out of a store; what is there afterwards is whole and can be asked.

    Args:
        name: Its name or its path in the store.
        store: See `galadapt.prediction.store.opened`.
        rev: The same.
        output: Folder to make; None: its name in `models_folder`.
        replace: Whether a package that lies there already may be another one.

    Returns:
        The folder.

    Raises:
        ConfigError: something else lies there.
        DataError: the store or the package is missing or broken.
        RunError: it is being fetched by another process.
    """
    with opened(store, rev) as source:
        offer, record = source.named(name)
        target = models_folder() / offer.name if output is None else output
        if _already(target, record, replace):
            log.info(f"{offer.name}: already in {target}, the same ({record.digest})")
            return target
        backend.prepare(Compute())
        # Keras must not be imported before its backend is chosen.
        from galadapt.prediction.ensemble import Ensemble
        from galadapt.prediction.run import reserved

        log.info(f"{offer.name}: fetching {record.size / 1e6:.1f} MB from {source.where}")
        parts = target.with_name(f".{target.name}.parts")
        with reserved(parts):
            try:
                _clear(parts)
                source.copy(offer, record, parts)
                found = read_package(parts)
                if found.digest != record.digest:
                    raise DataError(f"{RECORD}: changed while it was fetched; fetch it again")
                # Networks are opened in Keras' safe mode: what would run code is refused.
                Ensemble(found)
            except DataError as error:
                _clear(parts)
                told = str(error).replace(f"{parts}/", "")
                raise DataError(f"{offer.name}: refused: {told}") from None
            except BaseException:
                _clear(parts)
                raise
            _swap(parts, target)
    return target


def _already(target: Path, record: Record, replace: bool) -> bool:
    """Whether this very package lies at `target`; refuses what must not be written over."""
    inside = [folder for folder in target.absolute().parents if (folder / RECORD).is_file()]
    if inside:
        raise ConfigError(f"{target}: inside the package {inside[0]}; choose another folder (-o)")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if not (target / RECORD).is_file():
        raise ConfigError(f"{target}: holds something else; choose another folder (-o)")
    try:
        same = read_package(target).digest == record.digest
        problem = "another package of this name lies there"
    except DataError as error:
        same, problem = False, f"a broken package lies there ({str(error).partition(';')[0]})"
    if not same and not replace:
        raise ConfigError(f"{target}: {problem}; add --replace to replace it, or choose another -o")
    return same


def _swap(new: Path, target: Path) -> None:
    """Put a finished folder into its place; an old one is whole until then."""
    if not target.exists():
        new.rename(target)
        return
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Empty a folder, which stays: it carries the lock."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
