"""Prediction packages on this machine: those that were fetched, and which one is used."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from galadapt.core.errors import ConfigError, DataError
from galadapt.core.log import log
from galadapt.general.package import RELEASED
from galadapt.prediction.ensemble import Ensemble
from galadapt.prediction.package import RECORD, Record, packages_under, read_package
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


def locate(given: str | Path | None) -> Path:
    """Find a package by its folder or the name it was fetched under; None: the released one.

    Whether a package suits the images is the user's knowledge: only the released one is for any.
    """
    if given is None:
        return RELEASED
    folder = Path(given)
    return folder if folder.exists() else fetched().get(str(given), folder)


def fetch(
    name: str,
    store: str | None = None,
    rev: str | None = None,
    output: Path | None = None,
    replace: bool = False,
) -> Path:
    """Copy a package out of a store, whole and with networks that can be run; return its folder.

    Args:
        name: Its name or its path in the store.
        store, rev: See `galadapt.prediction.store.opened`.
        output: Folder to make; None: its name in `models_folder`.
        replace: Overwrite another package that lies there.

    Raises:
        ConfigError: something else lies there.
        DataError: the store or the package is missing or broken.
    """
    with opened(store, rev) as source:
        remote = source.named(name)
        target = models_folder() / remote.name if output is None else output
        if _already(target, remote.record, replace):
            log.info(f"{remote.name}: already in {target}, the same ({remote.record.digest})")
            return target
        size = remote.record.size / 1e6
        log.info(f"{remote.name}: fetching {size:.1f} MB from {source.where}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            new, old = Path(temporary, "new"), Path(temporary, "old")
            new.mkdir()
            try:
                source.copy(remote, new)
                found = read_package(new)
                if found.record.digest != remote.record.digest:
                    raise DataError(f"{RECORD}: changed while it was fetched; fetch it again")
                # A file that is no network that fits the record is refused.
                Ensemble.of_package(found)
            except DataError as error:
                reason = str(error).replace(f"{new}/", "")
                raise DataError(f"{remote.name}: refused: {reason}") from None
            # The package that lies there is whole until the new one takes its place.
            if target.exists():
                target.rename(old)
            try:
                new.rename(target)
            except OSError:
                old.rename(target)
                raise
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
        same = read_package(target).record.digest == record.digest
        problem = "another package of this name lies there"
    except DataError as error:
        same, problem = False, f"a broken package lies there ({str(error).partition(';')[0]})"
    if not same and not replace:
        raise ConfigError(f"{target}: {problem}; add --replace to replace it, or choose another -o")
    return same
