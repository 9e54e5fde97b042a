"""An experiment: a task, its variants, methods and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field, field_validator

from galadapt.config.base import DOMAINS, Name, Section
from galadapt.config.features import FeatureSpace
from galadapt.config.machine import Downloads, Tracking
from galadapt.config.training import Compute
from galadapt.core.errors import DataError
from galadapt.stamps.preprocess import State, Step, plan


class Run(NamedTuple):
    """One cell of the experiment: what one training job makes."""

    task: str
    variant: str
    method: str
    seed: int

    @property
    def folder(self) -> Path:
        """Its run folder, below ``runs`` of the results."""
        return Path(self.task, self.variant, self.method, f"seed{self.seed}")


class Experiment(Section):
    """A whole experiment of one task. Each task adds its data, methods and metrics."""

    task: str = Field(description="Name of the task.")
    preset: Name = Field("demo", description="Name of the experiment, in tables and MLflow.")
    results: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+$")] = Field(
        "results", description="Folder of everything computed (relative)."
    )
    seed: int = Field(2026, ge=0, lt=2**32, description="Seed of the data: simulations and splits.")
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(
        [1, 2, 3], min_length=1, description="Training seeds."
    )
    variants: list[Name] = Field(min_length=1, description="Chains (of variant_chains) to run.")
    methods: list[Name] = Field(min_length=1, description="Methods (of method_settings) to run.")
    variant_chains: dict[Name, list[Step]] = Field(description="Named chains of steps.")
    feature_space: FeatureSpace = Field(
        FeatureSpace(), description="The features of simulated and survey stamps."
    )
    tracking: Tracking = Field(Tracking(), description="MLflow.")
    compute: Compute = Field(Compute(), description="Hardware; changes no result.")
    downloads: Downloads = Field(Downloads(), description="Published data; changes no result.")

    if TYPE_CHECKING:
        # Each task declares its own kind of methods, after its data.
        method_settings: dict[Name, Any]

    #: Fewest pixels on a side that a variant may leave.
    SMALLEST: ClassVar[int] = 16

    @field_validator("results")
    @classmethod
    def _relative(cls, value: str) -> str:
        path = Path(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                "must be a relative path inside the project, so that a clone does not rerun"
            )
        if not path.parts:
            raise ValueError("must name a folder of its own, such as 'results'")
        # One spelling: Snakemake takes results//a and ./results/a for other files.
        return path.as_posix()

    @property
    def answer_kind(self) -> str:
        """Kind of answer of the methods; kinds of one task are evaluated and drawn alike."""
        return self.method_settings[self.methods[0]].answer_kind

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains the experiment has stamps of, in the order of every table.

        A task has none of a domain whose section is null.
        """
        return tuple(name for name in DOMAINS if getattr(self, name, name) is not None)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stamp sets that stages make: the domains, and whatever stands in for one."""
        return self.domains

    def source(self, method: str, domain: str) -> str:
        """Name the stamp set of a domain that a method uses."""
        return domain

    def stamp_files(self, source: str) -> list[str]:
        """Name the files of a stamp set, in its folder."""
        return ["stamps.h5"]

    def seen_by(self, wildcards: Mapping[str, Any]) -> Experiment:
        """Return the experiment as used by the job with these wildcards."""
        return self

    def runs(self) -> Iterator[Run]:
        """Expand the experiment: the only place where the product is formed."""
        for variant, method, seed in itertools.product(self.variants, self.methods, self.seeds):
            only = self.method_settings[method].variants
            if only is None or variant in only:
                yield Run(self.task, variant, method, seed)

    def check_names(self) -> None:
        """Refuse seeds, variants and methods named twice or nowhere defined, and no domain."""
        if not self.domains:
            raise ValueError("simulated and survey are both null; give one of them")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} names a seed twice")
        for key, names, known in (
            ("variants", self.variants, sorted(self.variant_chains)),
            ("methods", self.methods, sorted(self.method_settings)),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{key}: {names} names something twice")
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: '{name}' is not defined; known: {known}")
        for name in self.methods:
            method = self.method_settings[name]
            wanted = set(method.variants or self.variants)
            if not wanted <= set(self.variants):
                raise ValueError(
                    f"method_settings.{name}.variants: {sorted(wanted)} must be of variants "
                    f"{self.variants}"
                )
            for domain in method.domains:
                if domain not in self.domains:
                    raise ValueError(
                        f"method_settings.{name}.domains: there is no domain '{domain}' in this "
                        f"experiment; give the section '{domain}', or leave it out"
                    )

    def check_chains(self, side: int, no_noise: str | None) -> None:
        """Refuse chains that cannot be applied to stamps of `side` px.

        `no_noise` is why stamps have no noise to scale by; None: they have.
        """
        start = State(side, 1.0 if no_noise is None else None, no_noise or "")
        for name in self.variants:
            try:
                last = plan(self.variant_chains[name], start, f"variant_chains.{name}")[-1]
            except DataError as error:
                raise ValueError(str(error)) from None
            if last.side < self.SMALLEST:
                raise ValueError(
                    f"variant_chains.{name}: leaves {last.side} px, fewer than {self.SMALLEST}"
                )

    def check_starts(self, alike: Sequence[str] = ()) -> None:
        """Refuse starts that are not trained, go in a circle, or have another network.

        A method must agree with its start in the settings `alike`, too.
        """
        methods = self.method_settings
        for name in self.methods:
            seen = [name]
            while (start := methods[seen[-1]].builds_on) is not None:
                here = methods[seen[-1]]
                where = f"method_settings.{seen[-1]}"
                key = "starts_from" if here.starts_from else "learner.features_from"
                if start not in self.methods:
                    raise ValueError(
                        f"{where}.{key}: '{start}' must be one of methods {self.methods}"
                    )
                if start in seen:
                    raise ValueError(f"{where}.{key}: goes in a circle")
                there = methods[start]
                if not set(here.variants or self.variants) <= set(there.variants or self.variants):
                    raise ValueError(
                        f"{where}.variants: {key} is '{start}', which is not trained on all of them"
                    )
                if there.learner.kind != "keras":
                    raise ValueError(f"{where}.{key}: '{start}' is no network; name one that is")
                if here.starts_from and there.network != here.network:
                    raise ValueError(f"{where}: starts from '{start}' but has another network")
                for setting in alike if here.starts_from else ():
                    learned = getattr(there, setting)
                    if _unordered(learned) != _unordered(getattr(here, setting)):
                        raise ValueError(
                            f"{where}.{setting}: starts from '{start}', which learns {learned}; "
                            "give the same"
                        )
                seen.append(start)


def _unordered(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value
