"""The experiment of the task blobs."""

from typing import Literal

from pydantic import Field, model_validator

from galadapt.answers.numbers.settings import Evaluation
from galadapt.config.base import Name
from galadapt.config.training import Method
from galadapt.tasks.experiment import Experiment


class Blobs(Experiment):
    """Task blobs: round blobs on white noise."""

    task: Literal["blobs"] = Field("blobs", description="What is measured.")
    count: int = Field(90, ge=30, description="Stamps of each domain.")
    method_settings: dict[Name, Method] = Field(description="Named ways to train.")
    evaluation: Evaluation = Field(Evaluation(), description="Metrics.")

    @model_validator(mode="after")
    def _consistent(self) -> "Blobs":
        self.check_names()
        self.check_starts()
        return self
