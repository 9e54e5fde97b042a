"""Measured quantities: unit, label, kind of error and bounds of each, in one place.

Errors follow the convention of the Euclid Morphology Challenge (Bretonniere et al. 2023): absolute
for the magnitude [mag] and the ellipticity, relative for the effective radius, logarithmic [dex]
for the Sersic index.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isinf
from typing import TYPE_CHECKING, Any, Literal

from galadapt.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Quantity:
    """One measured quantity."""

    name: str  #: Column in stamp sets and tables.
    label: str  #: The name in text, table heads and on axes, without the unit.
    symbol: str  #: Symbol in formulas and captions.
    unit: str = ""  #: As astropy writes it; "" where it has none.
    #: absolute: predicted - true; relative: the same over the true value; dex: log10 of predicted
    #: over true, which is -infinity for a prediction that is not positive (an outlier, which leaves
    #: the median and the NMAD finite).
    error: Literal["absolute", "relative", "dex"] = "absolute"
    #: A prediction outside is physically impossible and lowers the completeness.
    bounds: tuple[float, float] = (-inf, inf)
    outlier: float = inf  #: An |error| above this is an outlier, in the convention of `error`.

    @property
    def axis(self) -> str:
        """Label and unit, for the axis of a figure."""
        unit = {"pix": "px"}.get(self.unit, self.unit)
        return f"{self.label} [{unit}]" if unit else self.label

    @property
    def error_unit(self) -> str:
        """Unit of its errors, or their kind where they have none."""
        return self.unit if self.error == "absolute" and self.unit else self.error

    @property
    def positive(self) -> bool:
        """Whether only positive values have an error."""
        return self.error != "absolute"

    def errors(self, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return the error of each prediction, shape (n,)."""
        if self.error == "relative":
            return (predicted - true) / true
        if self.error == "dex":
            # Configurations name quantities long before an array is needed.
            import numpy as np

            positive = predicted > 0
            ratio = np.where(positive, predicted, 1.0) / true
            missing = np.where(np.isnan(predicted), np.nan, -inf)
            return np.where(positive, np.log10(ratio), missing)
        return predicted - true

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them: an open end is None."""
        ends = [None if isinf(end) else end for end in self.bounds]
        outlier = None if isinf(self.outlier) else self.outlier
        return {**dataclasses.asdict(self), "bounds": ends, "outlier": outlier}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Quantity:
        """Rebuild from `to_dict`; a DataError if a value is missing or unknown."""
        try:
            # JSON has no tuple, and writes an infinite bound as null.
            ends = zip(values["bounds"], (-inf, inf), strict=True)
            bounds = tuple(open_end if end is None else end for end, open_end in ends)
            outlier = inf if values["outlier"] is None else values["outlier"]
            return cls(**{**values, "bounds": bounds, "outlier": outlier})
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the record of a quantity is incomplete ({error!r}); delete the run folder and "
                "train again"
            ) from None


#: What describes a galaxy with a Sersic profile, in the order of every table.
SERSIC = (
    Quantity("magnitude", "magnitude", "m", "mag", bounds=(10.0, 35.0), outlier=0.5),
    Quantity(
        *("effective_radius", "effective radius", "r_e", "pix", "relative"),
        bounds=(0.1, 200.0),
        outlier=0.5,
    ),
    Quantity("sersic_index", "Sérsic index", "n", "", "dex", bounds=(0.1, 10.0), outlier=0.3),
    Quantity("ellipticity", "ellipticity", "e", bounds=(-0.05, 1.0), outlier=0.25),
)

#: How it lies in its stamp.
PLACEMENT = (
    Quantity("position_angle", "position angle", "PA", "deg"),
    Quantity("x_offset", "x offset", "dx", "pix"),
    Quantity("y_offset", "y offset", "dy", "pix"),
)

#: Names of `SERSIC`.
PARAMETERS = tuple(quantity.name for quantity in SERSIC)

#: All of these by name.
QUANTITIES = {quantity.name: quantity for quantity in (*SERSIC, *PLACEMENT)}


def label_of(name: str) -> str:
    """Name a quantity, or any other figure, for readers."""
    known = QUANTITIES.get(name)
    return known.label if known else name.replace("_", " ")
