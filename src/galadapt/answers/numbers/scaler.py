"""Scaling of parameters for training, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from galadapt.answers.base import rebuilt
from galadapt.core.errors import DataError

#: Largest logarithm that is inverted.
_LARGEST_LOG = 50.0


@dataclass(frozen=True)
class TargetScaler:
    """Standardise each parameter: (value - mean) / standard deviation.

    A parameter may be standardised as its natural logarithm: relative errors of a radius then
    count alike at every size, and no prediction is negative. (The axis ratio q = 1 - e needs no
    form of its own: standardised, it is the ellipticity with the other sign.)
    """

    parameters: tuple[str, ...]  #: names, in the order of the columns
    mean: tuple[float, ...]  #: one value per parameter, in its own unit or of its logarithm
    scale: tuple[float, ...]  #: standard deviation (over the population) per parameter, likewise
    logarithmic: tuple[str, ...] = ()  #: names of the parameters learned as logarithms

    @classmethod
    def fit(
        cls, parameters: Sequence[str], values: np.ndarray, logarithmic: Sequence[str] = ()
    ) -> TargetScaler:
        """Measure mean and standard deviation.

        Args:
            parameters: Names of the columns.
            values: Labels of shape (n, len(parameters)); rows holding NaN, or a value without a
                logarithm where one is needed, are left out.
            logarithmic: Those to learn as logarithms.

        Raises:
            DataError: no complete row, or a parameter that does not vary.
        """
        parameters, logarithmic = tuple(parameters), tuple(logarithmic)
        values = cls(parameters, (), (), logarithmic)._forward(values)
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
        return cls(parameters, tuple(mean.tolist()), tuple(scale.tolist()), logarithmic)

    @property
    def _logarithmic_columns(self) -> list[int]:
        return [self.parameters.index(name) for name in self.logarithmic]

    def _forward(self, values: np.ndarray) -> np.ndarray:
        """Take logarithms where they are wanted; NaN where there is none."""
        values = np.array(values, np.float64)
        columns = self._logarithmic_columns
        chosen = values[:, columns]
        values[:, columns] = np.log(np.where(chosen > 0, chosen, np.nan))
        return values

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scale labels (n, parameters) to float64 of zero mean and unit variance."""
        return (self._forward(values) - self.mean) / self.scale

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        """Return network outputs (n, parameters) in the parameters' own units, float64."""
        values = np.asarray(scaled, np.float64) * self.scale + self.mean
        columns = self._logarithmic_columns
        # A wild extrapolation stays a number: metrics count it as the outlier it is.
        values[:, columns] = np.exp(np.clip(values[:, columns], -_LARGEST_LOG, _LARGEST_LOG))
        return values

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``run.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TargetScaler:
        """Rebuild from `to_dict`.

        Raises:
            DataError: a key is missing, the lengths differ, or a logarithm is of something else.
        """
        scaler = rebuilt(cls, values, "target scaling")
        wrong = ""
        if not len(scaler.parameters) == len(scaler.mean) == len(scaler.scale):
            wrong = "has lists of different lengths"
        elif not set(scaler.logarithmic) <= set(scaler.parameters):
            wrong = "takes the logarithm of an unknown parameter"
        if wrong:
            raise DataError(f"target scaling {wrong}; delete the run folder and train again")
        return scaler
