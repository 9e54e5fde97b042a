"""The experiment of the task votes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from galadapt.answers.votes.settings import VoteEvaluation
from galadapt.config.base import Name
from galadapt.config.votes import VoteMethod
from galadapt.tasks.experiment import Experiment
from galadapt.tasks.votes.data import MockVotes, SimulatedVotes, VoteSurvey


class VotesConfig(Experiment):
    """Task votes: what share of volunteers gives each answer about a galaxy?"""

    task: Literal["votes"] = Field("votes", description="Name of the task.")
    simulated: SimulatedVotes | None = Field(
        SimulatedVotes(), description="Simulated images and votes; null: none."
    )
    survey: VoteSurvey | None = Field(
        MockVotes(), description="Images of a survey, with or without votes; null: none."
    )
    method_settings: dict[Name, VoteMethod] = Field(description="Named ways to train.")
    evaluation: VoteEvaluation = Field(VoteEvaluation(), description="Metrics.")

    @model_validator(mode="after")
    def _consistent(self) -> VotesConfig:
        self.check_names()
        given = [getattr(self, name) for name in self.domains]
        if given[0].side != given[-1].side:
            raise ValueError(
                f"survey.side: {given[-1].side} px, but simulated stamps have {given[0].side} px; "
                "give both the same"
            )
        self.check_chains(given[0].side, "these stamps have no common noise")
        self.check_starts(alike=("head",))
        return self
