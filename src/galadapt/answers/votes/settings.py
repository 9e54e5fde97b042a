"""How predicted votes are evaluated."""

from __future__ import annotations

from pydantic import Field

from galadapt.config.base import Section


class VoteEvaluation(Section):
    """How predicted votes are evaluated."""

    bootstrap: int = Field(
        500, ge=50, le=100_000, description="Resamples of the test set for the intervals."
    )
    bins: int = Field(10, ge=3, le=50, description="Bins of predicted shares for reliability.")
    calibrate: bool = Field(
        True,
        description=(
            "Scale the concentration of each question (its temperature) to the validation votes: "
            "the survey's where the method may use survey labels, else the simulated ones."
        ),
    )
