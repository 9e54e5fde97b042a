"""How measured numbers are evaluated."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import Field, field_validator

from galadapt.config.base import Interval, Name, Positive, Section
from galadapt.core.quantity import QUANTITIES, Quantity


class Evaluation(Section):
    """How predictions are evaluated."""

    magnitude_bins: list[float] = Field(
        [16, 20, 21, 22, 23, 25, 27], min_length=2, description="Edges of the magnitude bins."
    )
    outlier: dict[Name, Positive] = Field(
        {},
        description=(
            "|error| beyond which a value is an outlier (relative for the radius, dex for the "
            "index); of quantities not named: 0.5 mag, 0.5, 0.3 dex, 0.25."
        ),
    )
    valid: dict[Name, Interval] = Field(
        {},
        description=(
            "A prediction outside is impossible and lowers the completeness; of quantities "
            "not named: the bounds of `galadapt.core.quantity`."
        ),
    )
    bootstrap: int = Field(
        500, ge=50, le=100_000, description="Resamples of the test set for the interval of R²."
    )

    @field_validator("magnitude_bins")
    @classmethod
    def _increasing(cls, value: list[float]) -> list[float]:
        if any(low >= high for low, high in itertools.pairwise(value)):
            raise ValueError(f"edges must increase, not {value}")
        return value

    @field_validator("outlier", "valid")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name not in QUANTITIES:
                raise ValueError(f"no quantity '{name}'; known: {', '.join(QUANTITIES)}")
        return value

    def limits(self, quantity: Quantity) -> tuple[float, tuple[float, float]]:
        """Return the outlier limit and the valid range of a quantity."""
        valid = self.valid.get(quantity.name)
        bounds = quantity.bounds if valid is None else (valid.low, valid.high)
        return self.outlier.get(quantity.name, quantity.outlier), bounds
