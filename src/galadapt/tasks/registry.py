"""The tasks: which experiment each one is. Each shares all but its data with the others."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from galadapt.config.base import DOMAINS, Name
from galadapt.config.classes import ClassEvaluation, ClassMethod
from galadapt.config.training import Method, Training
from galadapt.tasks.experiment import Experiment
from galadapt.tasks.galaxies.settings import Config
from galadapt.tasks.screening.settings import FieldFiles, FieldSplits, SimulatedFields, field_pixels
from galadapt.tasks.stars.settings import FrameFiles, FrameSplits, SimulatedFrames, StarDetection


class ClassExperiment(Experiment):
    """What the classifying tasks share: one stage per domain makes labelled stamps."""

    method_settings: dict[Name, ClassMethod] = Field(description="Named ways to train.")
    evaluation: ClassEvaluation = Field(ClassEvaluation(), description="Metrics.")

    CLASSIFIES: ClassVar[bool] = True

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains the experiment has stamps of, in the order of every table."""
        return tuple(name for name in DOMAINS if getattr(self, name) is not None)

    def check(self, side: int | None) -> None:
        """Refuse what does not fit together; `side` of a stamp [px], None where files decide."""
        if not self.domains:
            raise ValueError("simulated and survey are both null; give one of them")
        self.check_names(self.method_settings)
        if side is not None:
            self.check_chains(side, "these stamps have no common noise")
        self.check_starts(self.method_settings, alike=("groups",))
        for name in self.methods:
            method = self.method_settings[name]
            start = method.starts_from and self.method_settings[method.starts_from].answer
            if start not in (None, "mask", method.answer):
                raise ValueError(
                    f"method_settings.{name}.answer: starts from one of answer {start}; give the "
                    "same, or start from one that draws a mask"
                )


class StarsConfig(ClassExperiment):
    """Task stars: is a star image circular, a comet or a donut (R2)?"""

    task: Literal["stars"] = Field("stars", description="What is told apart.")
    simulated: SimulatedFrames | None = Field(
        SimulatedFrames(), description="Frames made from physics; null: none."
    )
    survey: FrameFiles | None = Field(None, description="Your own frames; null: none.")
    detection: StarDetection = Field(StarDetection(), description="From frames to stamps.")
    splits: FrameSplits = Field(FrameSplits(), description="Training, validation and test.")

    @model_validator(mode="after")
    def _consistent(self) -> StarsConfig:
        self.check(self.detection.stamp_size)
        for name in self.methods:
            if self.method_settings[name].answer == "mask":
                raise ValueError(f"method_settings.{name}.answer: stamps of stars have no mask")
        return self


class ScreeningConfig(ClassExperiment):
    """Task screening: how much of an X-ray field is spoilt (R3)?"""

    task: Literal["screening"] = Field("screening", description="What is told apart.")
    simulated: SimulatedFields | None = Field(
        SimulatedFields(), description="EPIC fields made from physics; null: none."
    )
    survey: FieldFiles | None = Field(None, description="Your own images; null: none.")
    splits: FieldSplits = Field(FieldSplits(), description="Training, validation and test.")

    @model_validator(mode="after")
    def _consistent(self) -> ScreeningConfig:
        self.check(field_pixels(None if self.simulated is None else self.simulated.binning)[0])
        return self


#: The experiment of each task.
TASKS: dict[str, type[Experiment]] = {
    "galaxies": Config,
    "stars": StarsConfig,
    "screening": ScreeningConfig,
}


def method_of_task(task: str, values: dict[str, Any]) -> Training:
    """Read the settings of a method of a task."""
    kind = ClassMethod if TASKS[task].CLASSIFIES else Method
    return kind.model_validate(values)
