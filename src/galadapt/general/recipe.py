"""Reading the recipe of the network for any image."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from galadapt.config.general import General
from galadapt.core.errors import ConfigError


def read_recipe(path: Path) -> General:
    """Read and check a YAML file (config/general.yaml); a ConfigError in one sentence."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give config/general.yaml"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must contain keys and values; see config/general.yaml")
    try:
        return General.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {key}: {message}; correct it") from None
