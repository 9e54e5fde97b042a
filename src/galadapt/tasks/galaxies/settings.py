"""The experiment of task `galaxies`: galaxies measured by networks trained on simulations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from galadapt.answers.numbers.settings import Evaluation
from galadapt.config.base import Interval, Name, Section, merge
from galadapt.config.image import Image, OpticalPsf, Psf
from galadapt.config.measure import Measure
from galadapt.config.simulation import FurtherSimulation, Simulation
from galadapt.config.survey import Extraction, MockSurvey, Selection, Splits, Survey
from galadapt.config.training import Method, Predictor
from galadapt.core.quantity import PARAMETERS
from galadapt.tasks.experiment import Experiment, Run

#: Stamp sets of further simulations are named this and their name.
_FURTHER = "simulated_"


class ProfileFit(Section):
    """A profile fit to survey galaxies, to compare the networks with."""

    galaxies: int = Field(0, ge=0, description="Labelled test galaxies to fit; 0: none.")


class Config(Experiment):
    """Task galaxies: magnitude, radius, Sersic index and ellipticity (CANDELS study)."""

    task: Literal["galaxies"] = Field("galaxies", description="Name of the task.")
    image: Image = Field(Image(), description="Size and sampling of stamps.")
    psf: Psf = Field(OpticalPsf(), description="PSF of the simulation.")
    simulation: Simulation = Field(Simulation(), description="The simulated stamps.")
    simulations: dict[Name, FurtherSimulation] = Field(
        {},
        description=(
            "Further simulations for methods to learn from (method_settings.<name>.simulation), "
            "each with only what differs from `simulation`. Only those in use are made."
        ),
    )
    survey: Survey = Field(MockSurvey(), description="The survey: mock or real galaxies.")
    selection: Selection = Field(Selection(), description="Cuts on the survey's catalogue.")
    extraction: Extraction = Field(Extraction(), description="Cutouts from the mosaic.")
    splits: Splits = Field(Splits(), description="Survey training, validation and test.")
    method_settings: dict[Name, Method] = Field(description="Named ways to train.")
    evaluation: Evaluation = Field(Evaluation(), description="Metrics.")
    profile_fit: ProfileFit = Field(ProfileFit(), description="Sersic fits of the same stamps.")
    predictor: Predictor = Field(
        Predictor(), description="The model package for `galadapt predict`."
    )
    measure: Measure | None = Field(
        None, description="Mosaics and catalogues for `snakemake measure`; no part of `all`."
    )

    @model_validator(mode="before")
    @classmethod
    def _changes(cls, values: Any) -> Any:
        """Complete every further simulation with what it does not change."""
        further = values.get("simulations") if isinstance(values, dict) else None
        base = values.get("simulation", {}) if further else None
        if not (isinstance(further, dict) and isinstance(base, dict)):
            return values
        return values | {
            "simulations": {
                name: merge(base, changes) if isinstance(changes, dict) else changes
                for name, changes in further.items()
            }
        }

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        self.check_names()
        for name in self.methods:
            wanted = self.method_settings[name].simulation
            if wanted is not None and wanted not in self.simulations:
                raise ValueError(
                    f"method_settings.{name}.simulation: '{wanted}' must be one of simulations "
                    f"{sorted(self.simulations)}"
                )
        for key, names in (("variant", self.variants), ("method", self.methods)):
            wanted = getattr(self.predictor, key)
            if wanted is not None and wanted not in names:
                raise ValueError(f"predictor.{key}: '{wanted}' must be one of {names}")
        if not self.predictor_runs():
            raise ValueError(
                "predictor: its method is not trained on its variant; name another variant"
            )
        method = self.predictor_runs()[0].method
        if self.method_settings[method].learner.kind != "keras":
            raise ValueError(f"predictor.method: '{method}' is no network; name one that is")
        # Before `source` follows the starts: they must not go in a circle.
        self.check_starts(alike=("logarithmic",))
        noiseless = None
        further = [source.removeprefix(_FURTHER) for source in self.sources[len(self.domains) :]]
        used: dict[str, Simulation] = {"simulation": self.simulation}
        used |= {f"simulations.{name}": self.simulations[name] for name in further}
        for key, simulation in used.items():
            if simulation.shards > simulation.total:
                raise ValueError(
                    f"{key}.shards: {simulation.shards} for {simulation.total} stamps; use no "
                    "more shards than stamps"
                )
            self._check_selection(key, simulation)
            if simulation.noise.depth == "none":
                noiseless = f"{key}.noise.depth is none"
        self.check_chains(self.image.stamp_size, noiseless)
        self._check_survey()
        self._check_magnitudes()
        return self

    def _check_selection(self, key: str, simulation: Simulation) -> None:
        for name in PARAMETERS:
            wanted: Interval = getattr(self.selection, name)
            made = simulation.priors.interval(name)
            if not wanted.within(made):
                raise ValueError(
                    f"selection.{name} [{wanted.low:g}, {wanted.high:g}] must lie inside the "
                    f"simulated range [{made.low:g}, {made.high:g}] ({key}.priors.{name}): "
                    "a network cannot be trusted outside it"
                )

    def _check_survey(self) -> None:
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
        for name in self.methods:
            used: Any = self.seen_by({"method": name})
            made = used.simulation.priors.interval("magnitude")
            limit = self.method_settings[name].max_magnitude
            if limit is not None and not made.low < limit:
                raise ValueError(
                    f"method_settings.{name}.max_magnitude {limit:g} leaves nothing of the "
                    f"simulated magnitudes from {made.low:g}"
                )

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stamp sets that stages make: the domains and further simulations in use."""
        used = [self.source(method, "simulated") for method in self.methods]
        return tuple(dict.fromkeys([*self.domains, *used]))

    def source(self, method: str, domain: str) -> str:
        """Name the stamp set of a domain that a method uses."""
        if domain != "simulated":
            return domain
        while (settings := self.method_settings[method]).simulation is None:
            if settings.builds_on is None:
                return domain
            method = settings.builds_on
        return f"{_FURTHER}{settings.simulation}"

    def stamp_files(self, source: str) -> list[str]:
        """Name the files of a stamp set: simulations lie in shards."""
        if source == "survey":
            return super().stamp_files(source)
        shards = self.seen_by({"source": source}).simulation.shards
        return [f"shard-{k:03d}.h5" for k in range(shards)]

    def seen_by(self, wildcards: Mapping[str, Any]) -> Config:
        """Return the experiment as used by a job: with its tile, or its method's simulation."""
        if self.measure is not None and "tile" in wildcards:
            from galadapt.prediction.survey.listed import only

            return self.model_copy(update={"measure": only(self.measure, wildcards["tile"])})
        source = wildcards.get("source")
        if source is None and "method" in wildcards:
            source = self.source(wildcards["method"], "simulated")
        if source is None or not source.startswith(_FURTHER):
            return self
        simulation = self.simulations[source.removeprefix(_FURTHER)]
        own = {name: getattr(simulation, name) for name in Simulation.model_fields}
        changed = {"simulation": Simulation(**own), "psf": simulation.psf or self.psf}
        return self.model_copy(update=changed)

    def predictor_runs(self) -> list[Run]:
        """List the runs whose networks form the prediction package."""
        variant = self.predictor.variant or self.variants[0]
        method = self.predictor.method or self.methods[0]
        return [run for run in self.runs() if (run.variant, run.method) == (variant, method)]
