"""Stages: functions whose typed signature is the declaration of what they read and write.

Where each parameter of a stage comes from follows from its annotation:

- ``Input``, ``Output``: the one path of that name; ``Input | None``: one or none; ``Inputs``,
  ``Outputs``: any number of paths.
- ``Annotated[int, Wildcard]``: the job's wildcard of that name.
- ``Annotated[T, Key("simulation.noise")]``: a key of the configuration. ``{method}`` in it is the
  job's wildcard `method`. Without `Key` it is the section or plain value of the parameter's name.
- ``Annotated[dict[str, Any], Whole(without=...)]``: every key of the configuration but these.
- ``Codes``: the code digest of every stage of the task.
- ``Provenance``: what made the outputs.
- a type with a method ``from_environment``: something of the machine.

The keys that a stage reads, the wildcards and the digest of its code are the settings of a job: the
one value that decides whether a finished output is up to date. The machine is not part of it.
"""

from __future__ import annotations

import inspect
import textwrap
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from galadapt.core.errors import ConfigError
from galadapt.core.files import external_digest
from galadapt.core.provenance import code_digest, code_modules, digest

Settings = dict[str, Any]

#: Paths by the name of the parameter that takes them.
Paths = Mapping[str, list[Path]]

#: Keys whose text is for readers only. They count where the whole configuration is read.
DESCRIPTIVE_KEYS = frozenset({"description"})


@dataclass(frozen=True)
class _Files:
    option: str
    several: bool = False
    optional: bool = False


Input = Annotated[Path, _Files("input")]
Inputs = Annotated[list[Path], _Files("input", several=True)]
Output = Annotated[Path, _Files("output")]
Outputs = Annotated[list[Path], _Files("output", several=True)]


class Wildcard:
    """Marks a parameter that is a wildcard of the job."""


@dataclass(frozen=True)
class Key:
    """Marks a parameter that is this key of the configuration, dotted."""

    template: str

    def path(self, wildcards: Mapping[str, Any]) -> list[str]:
        """Return the keys from the top of the configuration down to this one."""
        return self.template.format(**wildcards).split(".")


@dataclass(frozen=True)
class Whole:
    """Marks a parameter that is all the job reads: every key of the configuration but these."""

    without: tuple[str, ...] = ()


class _Codes:
    pass


Codes = Annotated[dict[str, str], _Codes]


class Provenance(dict[str, Any]):
    """What made an output: the settings and code digest of its job, and the digest of both."""


class _Machine:
    pass


#: Names the modules that a registry loads for a job, from the experiment and the wildcards.
Loads = Callable[[Any, Mapping[str, Any]], Iterable[str]]


@dataclass(frozen=True)
class Stage:
    """A function that turns inputs into outputs; see the module for its parameters."""

    function: Callable[..., None]
    loads: Loads | None = None

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.__name__

    @cached_property
    def _source(self) -> str:
        return textwrap.dedent(inspect.getsource(self.function))

    @cached_property
    def _parameters(self) -> dict[str, tuple[Any, Any]]:
        """Mark and annotation of every parameter."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        return {
            name: (_mark(name, hints[name]), hints[name])
            for name in inspect.signature(self.function).parameters
        }

    def files(self, option: str) -> list[str]:
        """Name the parameters that are paths of one option, ``input`` or ``output``."""
        return [
            name
            for name, (mark, _) in self._parameters.items()
            if isinstance(mark, _Files) and mark.option == option
        ]

    def takes(self, kind: type) -> bool:
        """Tell whether a parameter is annotated with this very type."""
        return any(annotation is kind for _, annotation in self._parameters.values())

    def code(self, loaded: Iterable[str] = ()) -> str:
        """Digest the function, every module reached from its imports and the `loaded` ones."""
        return code_digest(self._source, tuple(sorted(loaded)))

    def modules(self, loaded: Iterable[str] = ()) -> list[str]:
        """Name the modules whose edits rerun the stage, the `loaded` ones and theirs included."""
        return code_modules(self._source, loaded)

    def settings(
        self,
        config: Mapping[str, Any],
        wildcards: Mapping[str, Any],
        loaded: Iterable[str],
        stages: Iterable[Stage],
    ) -> Settings:
        """Collect what one job depends on: its part of the configuration, wildcards and code.

        Files outside the project that the configuration names (a PSF, a survey's folder) take part
        by their digest, because their paths differ between machines. `loaded` are modules that a
        registry loads in this job, `stages` all stages of the task, for `Codes`.
        """
        values: Settings = {}
        codes: dict[str, str] = {}
        for mark, _ in self._parameters.values():
            if isinstance(mark, Whole):
                values |= {name: config[name] for name in config if name not in mark.without}
            elif isinstance(mark, Key):
                _copy(config, values, mark.path(wildcards))
            elif mark is _Codes:
                codes = {stage.name: stage.code() for stage in stages}
        external = external_digest(values)
        return {
            "config": values,
            "code": self.code(loaded),
            **({"codes": codes} if codes else {}),
            **({"external": external} if external else {}),
            **({"wildcards": dict(wildcards)} if wildcards else {}),
        }

    def run(self, job: Settings, inputs: Paths, outputs: Paths) -> None:
        """Run one job by its `settings`; a ConfigError if these or the paths do not fit."""
        given = {"input": inputs, "output": outputs}
        for option, paths in given.items():
            wanted = self.files(option)
            if set(paths) != set(wanted):
                raise ConfigError(
                    f"stage {self.name}: takes --{option} {_listed(wanted)}, not {_listed(paths)}; "
                    "give exactly these names"
                )
        self.function(
            **{
                name: self._argument(name, mark, annotation, job, given)
                for name, (mark, annotation) in self._parameters.items()
            }
        )

    def _argument(
        self, name: str, mark: Any, annotation: Any, job: Settings, given: Mapping[str, Paths]
    ) -> Any:
        if isinstance(mark, _Files):
            paths = given[mark.option][name]
            if mark.several:
                return paths
            if mark.optional and not paths:
                return None
            if len(paths) != 1:
                raise ConfigError(f"--{mark.option} {name}: give exactly one path")
            return paths[0]
        if mark is _Machine:
            return annotation.from_environment()
        try:
            if mark is Provenance:
                return Provenance(settings=job["config"], code=job["code"], digest=digest(job))
            if isinstance(mark, Whole):
                return job["config"]
            if mark is _Codes:
                return job["codes"]
            if mark is Wildcard:
                value = job["wildcards"][name]
            else:
                value = _look_up(job["config"], mark.path(job.get("wildcards", {})))
        except KeyError as error:
            raise ConfigError(f"--settings: lack {error}; plan the job again") from None
        try:
            return TypeAdapter(annotation).validate_python(value)
        except ValidationError as error:
            raise ConfigError(
                f"--settings: {name}: {error.errors()[0]['msg']}; plan the job again"
            ) from None


@typing.overload
def stage(function: Callable[..., None]) -> Stage: ...
@typing.overload
def stage(*, loads: Loads) -> Callable[[Callable[..., None]], Stage]: ...
def stage(function: Callable[..., None] | None = None, *, loads: Loads | None = None) -> Any:
    """Make a stage of a function.

    Args:
        function: Imports what it needs inside its body, so that a job pays only for its own
            imports and its code digest covers exactly the modules whose edits change its outputs.
        loads: Names the modules that a registry loads for a job, given the experiment and the
            job's wildcards: no import names them, yet their edits change this job's outputs.
    """
    if function is None:
        return lambda decorated: Stage(decorated, loads)
    return Stage(function, loads)


def _mark(name: str, annotation: Any) -> Any:
    """Tell where a parameter comes from: one of the marks of this module."""
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(mark, _Files | Key | Whole) or mark in (Wildcard, _Codes):
            return mark
    if type(None) in typing.get_args(annotation):
        inner = _mark(name, typing.get_args(annotation)[0])
        if isinstance(inner, _Files):
            return replace(inner, optional=True)
    if annotation is Provenance:
        return Provenance
    return _Machine if hasattr(annotation, "from_environment") else Key(name)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _look_up(values: Any, path: Iterable[str]) -> Any:
    """Return what stands at a path; a section that is switched off has nothing in it."""
    for key in path:
        if values is None:
            return None
        values = values[key]
    return values


def _copy(source: Mapping[str, Any], target: Settings, path: list[str]) -> None:
    """Copy what stands at a path, or the section above it that is switched off."""
    *above, last = path
    for key in above:
        if source[key] is None:
            last = key
            break
        source, target = source[key], target.setdefault(key, {})
    target[last] = _without_words(source[last])


def _without_words(value: Any) -> Any:
    """Leave descriptions out of plain values, at every depth."""
    if isinstance(value, list):
        return [_without_words(one) for one in value]
    if not isinstance(value, dict):
        return value
    # A method or a class may have the name: what is below it is no text.
    return {
        key: _without_words(inner)
        for key, inner in value.items()
        if not (key in DESCRIPTIVE_KEYS and isinstance(inner, str))
    }
