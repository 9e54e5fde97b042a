"""Generate the configuration's documentation and JSON schema from the model.

``config/README.md`` and ``config/schema.json`` come from here (``galadapt document``); a test fails
when they drift from `galadapt.config`.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from galadapt.config.base import Interval, Section
from galadapt.config.simulation import LogUniform, Uniform
from galadapt.core.files import write_text
from galadapt.tasks.registry import experiments

HEADER = """# Configuration

Generated from the settings classes in `src/galadapt` by `galadapt document`; edit those.

`config.yaml` is the default experiment. A preset replaces keys of it:
`snakemake all --cores all --configfile config/presets/smoke.yaml` (the target first, because the
option takes all words after it), or `make run PRESET=smoke`. A single key:
`snakemake all --cores all --config 'seeds=[1]'`. Nested keys merge, lists are replaced.
`galadapt check config/config.yaml config/presets/smoke.yaml` validates without running.

One configuration is one experiment of one task. `config.yaml` is that of task galaxies;
`stars.yaml` and `screening.yaml` are those of `snakemake stars` and `snakemake screening`. A preset
changes them under a key of the task's name: `stars: {seeds: [1]}`.

| to change | edit |
|---|---|
| the PSF | `psf` |
| the noise | `simulation.noise`, `survey.noise` |
| the survey | `survey` and `selection` |
| the input of the networks | add a chain to `variant_chains`, name it in `variants` |
| how it is trained | add a method to `method_settings`, name it in `methods` |
| the network | `method_settings.<method>.network` |
"""


def _classes(annotation: Any) -> list[type[Section]]:
    """Every section class inside a type, through unions, lists and annotations."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, Section) else []
    return [found for argument in get_args(annotation) for found in _classes(argument)]


def _type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return _type_name(get_args(annotation)[0])
    if origin is typing.Literal:
        return " \\| ".join(str(value) for value in get_args(annotation))
    if origin in (types.UnionType, typing.Union):
        return " \\| ".join(_type_name(argument) for argument in get_args(annotation))
    if origin is list:
        return f"list of {_type_name(get_args(annotation)[0])}"
    if origin is dict:
        return f"name: {_type_name(get_args(annotation)[1])}"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {"str": "text", "bool": "true/false"}.get(annotation.__name__, annotation.__name__)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, Uniform | LogUniform):
        return f"`{value.distribution} {value.low:g} to {value.high:g}`"
    if isinstance(value, BaseModel) and not isinstance(value, Interval):
        # A section may have a method of that name.
        kind = getattr(value, "kind", None)
        return f"`{kind}`" if isinstance(kind, str) else "see there"
    return f"`{json.dumps(value, default=Interval.model_dump)}`"


def _table(section: type[Section]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        lines.append(
            f"| `{name}` | {_type_name(field.rebuild_annotation())} | {_default(field)} "
            f"| {field.description or ''} |"
        )
    return "\n".join(lines)


def sections(tops: Iterable[type[Section]]) -> list[type[Section]]:
    """List these section classes and all inside them, in the order a reader meets them."""
    order: list[type[Section]] = []
    todo = list(tops)
    while todo:
        section = todo.pop(0)
        if section in order:
            continue
        order.append(section)
        for field in section.model_fields.values():
            todo += _classes(field.annotation)
    return order


def readme() -> str:
    """Return the configuration's documentation as Markdown."""
    parts = [HEADER]
    for section in sections(experiments().values()):
        tasks = [f"Task {name}" for name, kind in experiments().items() if kind is section]
        title = tasks[0] if tasks else section.__name__
        parts.append(f"## {title}\n\n{inspect.getdoc(section)}\n\n{_table(section)}\n")
    return "\n".join(parts)


def schema() -> str:
    """Return the JSON schema that editors validate ``config.yaml`` with."""
    whole: Any = typing.Union[tuple(experiments().values())]  # noqa: UP007 (built from a table)
    return json.dumps(TypeAdapter(whole).json_schema(), indent=2, sort_keys=True) + "\n"


def write(folder: Path) -> list[Path]:
    """Write README.md and schema.json into `folder` and return their paths."""
    written = {folder / "README.md": readme(), folder / "schema.json": schema()}
    for path, text in written.items():
        write_text(path, text)
    return list(written)
