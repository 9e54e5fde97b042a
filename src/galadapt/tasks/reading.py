"""From YAML files to a validated experiment, or to one sentence that names the mistake."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from galadapt.config.base import merge
from galadapt.core.errors import ConfigError
from galadapt.core.files import read_yaml
from galadapt.core.imports import OWN_FUNCTIONS, digest_of, is_import_path, source
from galadapt.tasks.document import sections
from galadapt.tasks.experiment import Experiment
from galadapt.tasks.registry import DEFAULT, TASKS
from galadapt.tasks.registry import task as task_named

#: What galadapt 0.1.0 called otherwise: dotted keys, or ``key: value``, and their present names.
RENAMED = {
    "structure": "galaxies",
    "task: structure": "task: galaxies",
    "*.architecture: r1_baseline": "architecture: candels_baseline",
    "*.architecture: r1_dann": "architecture: candels_dann",
    "*.architecture: r2_a": "architecture: stars_a",
    "*.architecture: r2_b": "architecture: stars_b",
    "*.architecture: r3": "architecture: xmm",
}


def load(*paths: str | Path, changes: dict[str, Any] | None = None) -> Experiment:
    """Read one or more YAML files, later ones over earlier ones, and validate the result.

    `changes` come last of all.

    Raises:
        ConfigError: one sentence naming the file, the key and the remedy.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        loaded = read_yaml(path)
        if not isinstance(loaded, dict):
            raise ConfigError(f"{path}: must contain keys and values; see config/README.md")
        merged = merge(merged, loaded)
    if changes:
        merged = merge(merged, changes)
    return validate(merged, ", ".join(str(path) for path in paths))


def assigned(entries: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` as Snakemake's ``--config`` takes them; values are YAML.

    Raises:
        ConfigError: an entry is no such pair, or its value is not YAML.
    """
    found: dict[str, Any] = {}
    for entry in entries:
        key, equals, text = entry.partition("=")
        if not equals or not re.fullmatch(r"\w+", key):
            *above, last = key.split(".")
            inner = f"{{{last}: {text or '...'}}}"
            for name in reversed(above[1:]):
                inner = f"{{{name}: {inner}}}"
            hint = f"'{above[0]}={inner}'" if above else "KEY=VALUE"
            raise ConfigError(f"--config {entry}: give nested keys as YAML, --config {hint}")
        try:
            found = merge(found, {key: yaml.safe_load(text)})
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise ConfigError(f"--config {entry}: not valid YAML: {line}") from None
    return found


def typed(values: Any) -> Any:
    """Give values the types of YAML that Snakemake's ``--config`` left as text: numbers, null."""
    if isinstance(values, dict):
        return {key: typed(value) for key, value in values.items()}
    if isinstance(values, list):
        return [typed(value) for value in values]
    if isinstance(values, str):
        with contextlib.suppress(yaml.YAMLError):
            return yaml.safe_load(values)
    return values


def of_task(values: dict[str, Any], task: str) -> dict[str, Any]:
    """Return the part of plain values that is about the experiment of one task.

    A key named after a task holds changes to that task's experiment, so that one file (a preset, or
    what Snakemake merges) may hold several.

    Raises:
        ConfigError: such a key does not contain keys and values.
    """
    own = {key: value for key, value in values.items() if key not in TASKS}
    changes = values.get(task, {})
    if not isinstance(changes, dict):
        raise ConfigError(f"{task}: must contain keys and values; see config/README.md")
    return merge(own if own.get("task", DEFAULT) == task else {}, changes)


def validate(values: dict[str, Any], where: str) -> Experiment:
    """Validate plain values; `where` names their origin in the message.

    Raises:
        ConfigError: the first problem, as one sentence.
    """
    _refuse_old_names(values, where)
    task = values.get("task", DEFAULT)
    if task not in TASKS:
        raise ConfigError(f"{where}: task: no '{task}'; choose one of {', '.join(TASKS)}")
    kind = task_named(task).settings
    given = of_task(values, task)
    try:
        experiment = kind.model_validate(given)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_sentence(error, kind, given)}") from None
    _check_functions(experiment, where)
    return experiment


def _check_functions(experiment: Experiment, where: str) -> None:
    """Refuse a function of the user's own that is not there, cannot be called as it is, or imports
    what Python would not find."""
    for name, method in experiment.method_settings.items():
        for section in ("network", "alignment"):
            for key, arguments in OWN_FUNCTIONS.items():
                chosen = getattr(getattr(method, section, None), key, None)
                if chosen is None or not is_import_path(chosen):
                    continue
                try:
                    source(chosen, arguments)
                    digest_of(chosen)
                except ConfigError as error:
                    full = f"method_settings.{name}.{section}.{key}"
                    raise ConfigError(f"{where}: {full}: {error}") from None


def _refuse_old_names(values: dict[str, Any], where: str) -> None:
    found = [
        f"'{name}' is called '{new}' now"
        for name in _names(values)
        for old, new in RENAMED.items()
        if fnmatchcase(name, old)
    ]
    if found:
        raise ConfigError(f"{where}: written for galadapt 0.1.0: {', '.join(found)}; rename it")


def _names(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key, and ``key: value`` where the value is a text."""
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, str):
            yield f"{prefix}{key}: {value}"
        elif isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")


def _keys(path: Sequence[int | str], values: Any) -> tuple[str, ...]:
    """Return the keys that a user wrote of pydantic's path, which also names choices of unions."""
    keys = []
    for part in path:
        tags = values.values() if isinstance(values, dict) and part not in values else ()
        if str(part).startswith(("literal[", "constrained-")) or part in tags:
            continue
        keys.append(str(part))
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            values = None
    return tuple(keys)


#: Required keys that only the default experiment gives.
_BASE = ("variants", "methods", "variant_chains", "method_settings")


def _sentence(error: ValidationError, kind: type[Experiment], values: dict[str, Any]) -> str:
    first = error.errors()[0]
    keys = _keys(first["loc"], values)
    key = ".".join(keys) or "configuration"
    others = len({_keys(one["loc"], values) for one in error.errors()}) - 1
    more = f" ({others} more problem{'s' if others > 1 else ''})" if others else ""
    if first["type"] == "extra_forbidden":
        known = {name for section in sections([kind]) for name in section.model_fields}
        near = difflib.get_close_matches(keys[-1], sorted(known - {keys[-1]}), n=1, cutoff=0.7)
        hint = f"; did you mean '{near[0]}'?" if near else "; see config/README.md"
        return f"{key}: unknown key{hint}{more}"
    if first["type"] == "missing":
        hint = (
            "give the task's own file first (config/config.yaml), presets after it"
            if key in _BASE
            else ("see config/README.md")
        )
        return f"{key}: is required; {hint}{more}"
    if first["type"] == "union_tag_not_found":
        tag = str(first["ctx"]["discriminator"]).strip("'")
        return f"{key}: lacks '{tag}', by which it is read; see config/README.md{more}"
    if first["type"] == "union_tag_invalid":
        tag, name = first["ctx"]["tag"], str(first["ctx"]["discriminator"]).strip("'")
        known = {one.strip("' ") for one in first["ctx"]["expected_tags"].split(",")}
        near = difflib.get_close_matches(tag, sorted(known), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(sorted(known))}"
        return f"{key}: no {name} '{tag}'; {hint}{more}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{message}{more}" if not keys else f"{key}: {message}{more}"
    if keys[-1:] == ("architecture",):
        message = f"{message}, or FILE.py:FUNCTION for a network of your own"
    given = json.dumps(first["input"], default=str)
    return f"{key}: {message[0].lower()}{message[1:]}, not {given[:80]}{more}"
