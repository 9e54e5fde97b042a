"""Settings of the analysis of features."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from galadapt.config.base import Section


class FeatureSpace(Section):
    """What is measured of the features of simulated and survey stamps, once per variant."""

    objects: int = Field(
        300, ge=20, description="Test stamps of each domain that are used, the first ones."
    )
    neighbours: int = Field(10, ge=1, le=100, description="Nearest neighbours of an object.")
    dimensions: list[Annotated[int, Field(ge=2, le=4096)]] = Field(
        [2, 8, 16, 32, 64, 128],
        min_length=1,
        description="Dimensions of the projections, as far as there are so many features.",
    )
    umap: bool = Field(
        True,
        description=(
            "Project by UMAP, too. It takes most of the time: ten seconds to start, then about a "
            "second per method."
        ),
    )

    @field_validator("dimensions")
    @classmethod
    def _ordered(cls, value: list[int]) -> list[int]:
        if sorted(set(value)) != value:
            raise ValueError("give each dimension once, from few to many")
        return value
