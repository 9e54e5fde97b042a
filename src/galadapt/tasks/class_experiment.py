"""Experiments whose methods predict classes."""

from __future__ import annotations

from pydantic import Field

from galadapt.answers.classes.settings import ClassEvaluation
from galadapt.config.base import Name
from galadapt.config.classes import ClassMethod
from galadapt.tasks.experiment import Experiment


class ClassExperiment(Experiment):
    """Base of the classification tasks: one stage per domain makes labelled stamps."""

    method_settings: dict[Name, ClassMethod] = Field(description="Named ways to train.")
    evaluation: ClassEvaluation = Field(ClassEvaluation(), description="Metrics.")

    def check(self, side: int) -> None:
        """Refuse settings that contradict each other; `side` of a stamp [px]."""
        self.check_names()
        self.check_chains(side, "these stamps have no common noise")
        self.check_starts(alike=("groups",))
        for name in self.methods:
            method = self.method_settings[name]
            start = method.starts_from and self.method_settings[method.starts_from].answer
            if start not in (None, "mask", method.answer):
                raise ValueError(
                    f"method_settings.{name}.answer: starts from one of answer {start}; give the "
                    "same, or start from one that draws a mask"
                )
