"""How predicted classes are evaluated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from galadapt.config.base import Section


class ClassEvaluation(Section):
    """How predicted classes are evaluated."""

    bootstrap: int = Field(
        500,
        ge=50,
        le=100_000,
        description=(
            "Resamples of the test set for the intervals. Groups (frames, observations) are drawn, "
            "not stamps: stamps of one group are not independent."
        ),
    )
    vote: Literal["mean", "majority"] = Field(
        "mean",
        description=(
            "How the stamps of one group vote on its class. mean: their mean probability. "
            "majority: the class most of them got, ties by mean probability."
        ),
    )
    grouping: dict[str, list[str]] = Field(
        {},
        description=(
            "Coarser classes, {name: [classes]}, in which networks that predict the finer "
            "classes are evaluated too: their probabilities add up. {}: none."
        ),
    )

    @field_validator("grouping")
    @classmethod
    def _partition(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        members = [name for names in value.values() for name in names]
        if len(value) == 1 or not all(value.values()):
            raise ValueError("needs at least two groups, each with at least one class")
        twice = [name for name in members if members.count(name) > 1]
        if twice:
            raise ValueError(f"class {twice[0]} stands in two groups; name each class once")
        return value
