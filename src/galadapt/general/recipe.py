"""Reading the recipe of the network for any image."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from galadapt.config.base import fault_of
from galadapt.config.general import General
from galadapt.core.errors import ConfigError
from galadapt.core.files import read_yaml


def read_recipe(path: Path) -> General:
    """Read and check a YAML file (config/general.yaml); a ConfigError in one sentence."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must contain keys and values; see config/general.yaml")
    try:
        return General.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {fault_of(error)}; correct it") from None
