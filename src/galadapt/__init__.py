"""galadapt: measure galaxies with networks trained on simulations, and know how far to trust them.

`measure`, `simulate` and `load` are the public interface (`galadapt.api`), imported when they are
first used, so that ``import galadapt`` takes no time. The package is a library, independent of
Snakemake, DVC and the layout of ``results/``: every stage is one function, called by
`galadapt.pipeline.stages` with explicit paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galadapt.api import Model, load, measure, simulate
    from galadapt.core.errors import ConfigError, DataError, GaladaptError, RunError
    from galadapt.prediction.flags import NO_MAGNITUDE, NO_SHAPE
    from galadapt.stamps.format import StampSet

__version__ = "0.2.0"

#: Where each public name is defined.
_PUBLIC = {
    "measure": "galadapt.api",
    "simulate": "galadapt.api",
    "load": "galadapt.api",
    "Model": "galadapt.api",
    "StampSet": "galadapt.stamps.format",
    "NO_MAGNITUDE": "galadapt.prediction.flags",
    "NO_SHAPE": "galadapt.prediction.flags",
    "GaladaptError": "galadapt.core.errors",
    "ConfigError": "galadapt.core.errors",
    "DataError": "galadapt.core.errors",
    "RunError": "galadapt.core.errors",
}

__all__ = [
    "NO_MAGNITUDE",
    "NO_SHAPE",
    "ConfigError",
    "DataError",
    "GaladaptError",
    "Model",
    "RunError",
    "StampSet",
    "__version__",
    "load",
    "measure",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'galadapt' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
