"""The experiment of task `structure`: galaxies measured by networks trained on simulations."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from galadapt.config.base import PARAMETERS, Interval, Name, Positive, Section
from galadapt.config.experiment import Downloads, Experiment, Run
from galadapt.config.image import Image, OpticalPsf, Psf
from galadapt.config.simulation import Simulation
from galadapt.config.survey import Extraction, MockSurvey, Selection, Splits, Survey
from galadapt.config.training import Method, Predictor


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


class Config(Experiment):
    """Task structure: magnitude, radius, index and ellipticity of galaxies (R1)."""

    CLASSIFIES: ClassVar[bool] = False

    task: Literal["structure"] = Field("structure", description="What is predicted.")
    image: Image = Field(Image(), description="What a stamp is.")
    psf: Psf = Field(OpticalPsf(), description="PSF of the simulation.")
    simulation: Simulation = Field(Simulation(), description="The simulated stamps.")
    survey: Survey = Field(MockSurvey(), description="Where (seemingly) real galaxies come from.")
    selection: Selection = Field(Selection(), description="Cuts on the survey's catalogue.")
    extraction: Extraction = Field(Extraction(), description="Cutouts from the mosaic.")
    splits: Splits = Field(Splits(), description="Survey training, validation and test.")
    method_settings: dict[Name, Method] = Field(description="Named ways to train.")
    evaluation: Evaluation = Field(Evaluation(), description="Metrics.")
    predictor: Predictor = Field(Predictor(), description="The package `galadapt predict` uses.")
    downloads: Downloads = Field(
        Downloads(), description="Published data; never part of a result's identity."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        self.check_names(self.method_settings)
        if self.simulation.shards > self.simulation.total:
            raise ValueError(
                f"simulation.shards: {self.simulation.shards} for {self.simulation.total} stamps; "
                "use no more shards than stamps"
            )
        for key, names in (("variant", self.variants), ("method", self.methods)):
            wanted = getattr(self.predictor, key)
            if wanted is not None and wanted not in names:
                raise ValueError(f"predictor.{key}: '{wanted}' must be one of {names}")
        if not self.predictor_runs():
            raise ValueError(
                "predictor: its method is not trained on its variant; name another variant"
            )
        self._check_selection()
        no_noise = self.simulation.noise.depth == "none"
        self.check_chains(
            self.image.stamp_size, "simulation.noise.depth is none" if no_noise else None
        )
        self._check_magnitudes()
        self.check_starts(self.method_settings, alike=("logarithmic",))
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

    def _check_magnitudes(self) -> None:
        made = self.simulation.priors.interval("magnitude")
        for name in self.methods:
            limit = self.method_settings[name].max_magnitude
            if limit is not None and not made.low < limit:
                raise ValueError(
                    f"method_settings.{name}.max_magnitude {limit:g} leaves nothing of the "
                    f"simulated magnitudes from {made.low:g}"
                )

    def predictor_runs(self) -> list[Run]:
        """List the runs whose networks form the prediction package."""
        variant = self.predictor.variant or self.variants[0]
        method = self.predictor.method or self.methods[0]
        return [run for run in self.runs() if (run.variant, run.method) == (variant, method)]
