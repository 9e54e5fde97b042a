"""Chooses what runs a package: Keras for trained runs, ONNX Runtime for the one for any image."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError
from galadapt.prediction.any_image import AnyImagePackage, AnyImageRunner
from galadapt.prediction.package import Package

if TYPE_CHECKING:
    from galadapt.prediction.ensemble import Ensemble


def runner_of(
    package: Package | AnyImagePackage,
    members: int | None = None,
    compute: Compute | None = None,
    fast: bool = False,
) -> Ensemble | AnyImageRunner:
    """Load the networks of a package, with `members` only so many of them.

    `fast` leaves out what the package for any image adds: the refinement by the pixels.

    Raises:
        ConfigError: it has not so many, is never refined, or the backend is not installed.
        DataError: a network is broken or does not fit the package.
    """
    available = len(package.record.members)
    if members is not None and not 1 <= members <= available:
        raise ConfigError(
            f"--members: {members} of the package's {available} networks; name 1 or more of them"
        )
    if isinstance(package, AnyImagePackage):
        return AnyImageRunner(package, fast)
    if fast:
        raise ConfigError(
            f"--fast: {package.record.name} is never refined by the pixels; leave it out"
        )
    compute = compute or Compute()
    for needed in ("keras", compute.backend):
        if importlib.util.find_spec(needed) is None:
            raise ConfigError(
                f"{package.folder}: holds networks of Keras, and {needed} is not installed; "
                "install galadapt[keras], or measure with the released package, which needs neither"
            )
    from galadapt.learners.keras import backend

    backend.prepare(compute)
    # Keras must not be imported before its backend is chosen.
    from galadapt.prediction.ensemble import Ensemble

    return Ensemble.of_package(package, members)
