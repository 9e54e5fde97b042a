"""Chooses what runs a package: of trained runs, or of the network for any image."""

from __future__ import annotations

from galadapt.core.errors import ConfigError
from galadapt.prediction.any_image import AnyImagePackage, AnyImageRunner
from galadapt.prediction.ensemble import Ensemble
from galadapt.prediction.package import Package


def runner_of(
    package: Package | AnyImagePackage,
    members: int | None = None,
    fast: bool = False,
) -> Ensemble | AnyImageRunner:
    """Load the networks of a package, with `members` only so many of them.

    `fast` leaves out what the package for any image adds: the refinement by the pixels.

    Raises:
        ConfigError: it has not so many, or is never refined.
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
    return Ensemble.of_package(package, members)
