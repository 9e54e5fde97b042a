"""The whole experiment, and what must fit together in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from galadapt.config.base import PARAMETERS, Interval, Name, Positive, Section
from galadapt.config.image import Image, OpticalPsf, Psf
from galadapt.config.simulation import Simulation
from galadapt.config.survey import Extraction, MockSurvey, Selection, Splits, Survey
from galadapt.config.training import Compute, Method, Predictor
from galadapt.config.variants import IntervalStep, NoiseAsinh, Rebin, Step, Stretch


class Evaluation(Section):
    """How predictions are judged."""

    magnitude_bins: list[float] = Field(
        [16, 20, 21, 22, 23, 25, 27], min_length=2, description="Edges of the magnitude bins."
    )
    outlier: dict[str, Positive] = Field(
        {"magnitude": 0.5, "effective_radius": 0.5, "sersic_index": 0.3, "ellipticity": 0.25},
        description="|error| beyond which a value is an outlier (relative for re, dex for n).",
    )
    valid: dict[str, Interval] = Field(
        {
            "magnitude": Interval(low=10.0, high=35.0),
            "effective_radius": Interval(low=0.1, high=200.0),
            "sersic_index": Interval(low=0.1, high=10.0),
            "ellipticity": Interval(low=-0.05, high=1.0),
        },
        description="A prediction outside cannot be meant, and counts against completeness.",
    )
    bootstrap: int = Field(
        500, ge=50, le=100_000, description="Resamples of the test set for the interval of R2."
    )

    @field_validator("magnitude_bins")
    @classmethod
    def _increasing(cls, value: list[float]) -> list[float]:
        if any(low >= high for low, high in itertools.pairwise(value)):
            raise ValueError(f"edges must increase, not {value}")
        return value

    @field_validator("outlier", "valid")
    @classmethod
    def _every_parameter(cls, value: dict[str, Any]) -> dict[str, Any]:
        if set(value) != set(PARAMETERS):
            raise ValueError(f"must name exactly {', '.join(PARAMETERS)}, not {sorted(value)}")
        return value


class Tracking(Section):
    """MLflow."""

    uri: str = Field("sqlite:///mlflow.db", description="Tracking store.")
    experiment: str = Field("galadapt", description="Prefix of the experiment's name.")


class Downloads(Section):
    """Where published data lie or are fetched to. Not part of any result's identity."""

    folder: str = Field(
        "data/downloads", description="Folder of the files; environment variables expand."
    )
    mirrors: list[str] = Field(
        [], description="Folders or base URLs that hold the files, tried before the archives."
    )
    offline: bool = Field(False, description="Never use the network: say what is missing.")
    archives: str = Field(
        "config/archives.yaml", description="Table of addresses, sizes and checksums."
    )
    checksums: str = Field(
        "config/checksums.txt",
        description="Where first downloads record their checksums; keep it under version control.",
    )


class Run(NamedTuple):
    """One cell of the experiment: what one training job makes."""

    task: str
    variant: str
    method: str
    seed: int


class Config(Section):
    """A whole experiment."""

    preset: Name = Field("demo", description="Name of the experiment, in tables and MLflow.")
    results: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+$")] = Field(
        "results", description="Folder of everything computed (relative)."
    )
    seed: int = Field(
        2026, ge=0, lt=2**32, description="Seed of simulation, mock survey and splits."
    )
    task: Literal["structure"] = Field("structure", description="What is predicted.")
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(
        [1, 2, 3], min_length=1, description="Training seeds."
    )
    variants: list[Name] = Field(min_length=1, description="Chains (of variant_chains) to run.")
    methods: list[Name] = Field(min_length=1, description="Methods (of method_settings) to run.")
    image: Image = Field(Image(), description="What a stamp is.")
    psf: Psf = Field(OpticalPsf(), description="PSF of the simulation.")
    simulation: Simulation = Field(Simulation(), description="The simulated stamps.")
    survey: Survey = Field(MockSurvey(), description="Where (seemingly) real galaxies come from.")
    selection: Selection = Field(Selection(), description="Cuts on the survey's catalogue.")
    extraction: Extraction = Field(Extraction(), description="Cutouts from the mosaic.")
    splits: Splits = Field(Splits(), description="Survey training, validation and test.")
    variant_chains: dict[Name, list[Step]] = Field(description="Named chains of steps.")
    method_settings: dict[Name, Method] = Field(description="Named ways to train.")
    evaluation: Evaluation = Field(Evaluation(), description="Metrics.")
    predictor: Predictor = Field(Predictor(), description="The package `galadapt predict` uses.")
    tracking: Tracking = Field(Tracking(), description="MLflow.")
    compute: Compute = Field(Compute(), description="Hardware; never part of a run's identity.")
    downloads: Downloads = Field(
        Downloads(), description="Published data; never part of a result's identity."
    )

    @field_validator("results")
    @classmethod
    def _relative(cls, value: str) -> str:
        path = Path(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                "must be a relative path inside the project, so that a clone does not rerun"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Config:
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
        if self.simulation.shards > self.simulation.total:
            raise ValueError(
                f"simulation.shards: {self.simulation.shards} for {self.simulation.total} stamps; "
                "use no more shards than stamps"
            )
        for key, names in (("variant", self.variants), ("method", self.methods)):
            wanted = getattr(self.predictor, key)
            if wanted is not None and wanted not in names:
                raise ValueError(f"predictor.{key}: '{wanted}' must be one of {names}")
        self._check_selection()
        self._check_chains()
        self._check_starts()
        return self

    def _check_selection(self) -> None:
        for name in PARAMETERS:
            wanted: Interval = getattr(self.selection, name)
            made = self.simulation.priors.interval(name)
            if not wanted.within(made):
                raise ValueError(
                    f"selection.{name} [{wanted.low:g}, {wanted.high:g}] must lie inside the "
                    f"simulated range [{made.low:g}, {made.high:g}] (simulation.priors.{name}): "
                    "a network cannot be trusted outside it"
                )
        if isinstance(self.survey, MockSurvey):
            if self.selection.magnitude.low >= self.survey.catalog_limit:
                raise ValueError(
                    f"selection.magnitude: starts at {self.selection.magnitude.low:g}, beyond the "
                    f"survey's catalog_limit {self.survey.catalog_limit:g}; nothing would be left"
                )
            side = self.survey.side(self.image.pixel_scale)
            if side > MockSurvey.MAX_SIDE:
                raise ValueError(
                    f"survey.n_galaxies: {self.survey.n_galaxies} galaxies at density "
                    f"{self.survey.density:g} need a mosaic of {side} px, above "
                    f"{MockSurvey.MAX_SIDE}; raise survey.density or lower n_galaxies"
                )

    def _check_chains(self) -> None:
        for name in self.variants:
            size = self.image.stamp_size
            scaled = False
            for step in self.variant_chains[name]:
                if isinstance(step, Rebin):
                    if size % step.factor:
                        raise ValueError(
                            f"variant_chains.{name}: stamps of {size} px are not divisible by the "
                            f"rebin factor {step.factor}"
                        )
                    size //= step.factor
                if isinstance(step, NoiseAsinh):
                    self._check_noise_scale(name, scaled)
                if isinstance(step, Stretch) and not scaled:
                    raise ValueError(
                        f"variant_chains.{name}: the stretch '{step.kind}' needs an interval step "
                        "before it"
                    )
                scaled = scaled or isinstance(step, IntervalStep)
            if size < 16:
                raise ValueError(f"variant_chains.{name}: leaves {size} px, fewer than 16")

    def _check_noise_scale(self, name: str, scaled: bool) -> None:
        if scaled:
            raise ValueError(
                f"variant_chains.{name}: noise_asinh after an interval step has no noise left to "
                "scale by; put it before, or use a stretch"
            )
        if self.simulation.noise.depth == "none":
            raise ValueError(
                f"variant_chains.{name}: noise_asinh needs noise to scale by, but "
                "simulation.noise.depth is none"
            )

    def _check_starts(self) -> None:
        for name in self.methods:
            method = self.method_settings[name]
            if method.max_magnitude is not None:
                made = self.simulation.priors.interval("magnitude")
                if not made.low < method.max_magnitude:
                    raise ValueError(
                        f"method_settings.{name}.max_magnitude {method.max_magnitude:g} leaves "
                        f"nothing of the simulated magnitudes from {made.low:g}"
                    )
            seen = [name]
            while (start := self.method_settings[seen[-1]].starts_from) is not None:
                if start not in self.methods:
                    raise ValueError(
                        f"method_settings.{seen[-1]}.starts_from: '{start}' must be one of "
                        f"methods {self.methods}"
                    )
                if start in seen:
                    raise ValueError(f"method_settings.{name}.starts_from: goes in a circle")
                if self.method_settings[start].network != self.method_settings[seen[-1]].network:
                    raise ValueError(
                        f"method_settings.{seen[-1]}: starts from '{start}' but has another network"
                    )
                learned = self.method_settings[start].logarithmic
                if sorted(learned) != sorted(self.method_settings[seen[-1]].logarithmic):
                    raise ValueError(
                        f"method_settings.{seen[-1]}.logarithmic: starts from '{start}', which "
                        f"learns {learned}; give the same"
                    )
                seen.append(start)

    def predictor_runs(self) -> list[Run]:
        """List the runs whose networks form the prediction package."""
        variant = self.predictor.variant or self.variants[0]
        method = self.predictor.method or self.methods[0]
        return [run for run in self.runs() if (run.variant, run.method) == (variant, method)]

    def runs(self) -> Iterator[Run]:
        """Expand the experiment: the only place where the product is formed."""
        for variant, method, seed in itertools.product(self.variants, self.methods, self.seeds):
            yield Run(self.task, variant, method, seed)
