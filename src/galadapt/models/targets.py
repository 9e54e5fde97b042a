"""Scaling of the targets a network learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from galadapt.errors import DataError


@dataclass(frozen=True)
class TargetScaler:
    """Standardise each parameter: (value - mean) / standard deviation, as R1 does.

    Attributes:
        parameters: Names, in the order of the columns.
        mean: One value per parameter, in its own unit.
        scale: Standard deviation (over the population) per parameter, in its own unit.
    """

    parameters: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, parameters: Sequence[str], values: np.ndarray) -> TargetScaler:
        """Measure mean and standard deviation.

        Args:
            parameters: Names of the columns.
            values: Labels of shape (n, len(parameters)); rows holding NaN are left out.

        Raises:
            DataError: no complete row, or a parameter that does not vary.
        """
        values = np.asarray(values, np.float64)
        complete = values[np.isfinite(values).all(axis=1)]
        if len(complete) == 0:
            raise DataError("no stamp has all its labels; check the label columns of the stamp set")
        mean, scale = complete.mean(axis=0), complete.std(axis=0)
        for name, width in zip(parameters, scale, strict=True):
            if not width > 0:
                raise DataError(
                    f"{name} has the same value in all {len(complete)} labelled stamps, "
                    "so it cannot be learned; widen its prior"
                )
        return cls(tuple(parameters), tuple(mean.tolist()), tuple(scale.tolist()))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scale labels (n, parameters) to float64 of zero mean and unit variance."""
        return (np.asarray(values, np.float64) - self.mean) / self.scale

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        """Return network outputs (n, parameters) in the parameters' own units, float64."""
        return np.asarray(scaled, np.float64) * self.scale + self.mean

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``run.json``."""
        return {
            "parameters": list(self.parameters),
            "mean": list(self.mean),
            "scale": list(self.scale),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TargetScaler:
        """Rebuild from `to_dict`.

        Raises:
            DataError: a key is missing or the lengths differ.
        """
        try:
            parameters = tuple(str(name) for name in values["parameters"])
            mean = tuple(float(value) for value in values["mean"])
            scale = tuple(float(value) for value in values["scale"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"target scaling is incomplete ({error!r}); delete the run folder and train again"
            ) from None
        if not len(parameters) == len(mean) == len(scale):
            raise DataError(
                "target scaling has lists of different lengths; "
                "delete the run folder and train again"
            )
        return cls(parameters, mean, scale)
