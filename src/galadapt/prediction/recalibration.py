"""Errors enlarged to what a profile fit shows on the user's own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from galadapt.config.base import Section
from galadapt.core.errors import DataError
from galadapt.core.files import write_json
from galadapt.core.quantity import PARAMETERS
from galadapt.prediction.intervals import conformal_quantile
from galadapt.prediction.package import Record

#: Objects of a bin of magnitude, and fewest objects at all.
_PER_BIN, FEWEST = 25, 20

#: Largest factor; what needs more is not a matter of errors.
_LARGEST = 10.0

#: Ends of the columns of values, of those fitted, and of errors.
_ENDS = ("", "_fitted", "_err")


class Bin(Section):
    """Factors of the errors at one magnitude."""

    magnitude: float  #: median of the predicted magnitudes of the bin
    objects: int = Field(ge=1)
    factors: dict[str, float]  #: at least 1, by parameter


class Recalibration(Section):
    """Factors of the errors of one package, measured on one field."""

    networks: tuple[str, ...]  #: digests of the package's networks
    bins: tuple[Bin, ...] = Field(min_length=1)

    def factors(self, magnitude: np.ndarray) -> np.ndarray:
        """Factors (n, 4) at predicted magnitudes (n,), linear between the bins."""
        places = [one.magnitude for one in self.bins]
        columns = [
            np.interp(magnitude, places, [one.factors.get(name, 1.0) for one in self.bins])
            for name in PARAMETERS
        ]
        return np.stack(columns, axis=1)


def measured(table: pd.DataFrame, record: Record, level: float) -> Recalibration:
    """Measure the factors that make `level` of the fits lie within the errors.

    Args:
        table: One row per fitted object: `<parameter>`, `<parameter>_err` and
            `<parameter>_fitted`.
        record: Of the package.
        level: Coverage that the errors claim.

    Raises:
        DataError: fewer than `FEWEST` objects.
    """
    values, fitted, errors = ([f"{name}{end}" for name in PARAMETERS] for end in _ENDS)
    known = table.dropna(subset=[*fitted, *errors]).sort_values("magnitude", kind="stable")
    if len(known) < FEWEST:
        raise DataError(
            f"--recalibrate: {len(known)} objects with a fit and an error, {FEWEST} are needed; "
            "raise --sample"
        )
    apart = np.abs(known[values].to_numpy() - known[fitted].to_numpy()) / known[errors].to_numpy()
    bins = []
    for rows in np.array_split(np.arange(len(known)), max(len(known) // _PER_BIN, 1)):
        wanted = np.clip(conformal_quantile(apart[rows], level), 1.0, _LARGEST).tolist()
        factors = {name: round(one, 3) for name, one in zip(PARAMETERS, wanted, strict=True)}
        middle = round(float(known["magnitude"].iloc[rows].median()), 3)
        bins.append(Bin(magnitude=middle, objects=len(rows), factors=factors))
    return Recalibration(networks=networks_of(record), bins=tuple(bins))


def networks_of(record: Record) -> tuple[str, ...]:
    """What identifies a package's networks."""
    return tuple(member.digest for member in record.members)


def write_recalibration(path: Path, recalibration: Recalibration) -> None:
    """Write factors as JSON."""
    write_json(path, recalibration.model_dump(mode="json"))


def read_recalibration(path: Path, record: Record) -> Recalibration:
    """Read factors; a DataError if they are broken or of another package."""
    try:
        found = Recalibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValidationError:
        raise DataError(
            f"{path}: no recalibration; make one with `galadapt fit-check --recalibrate`"
        ) from None
    if found.networks != networks_of(record):
        raise DataError(
            f"{path}: measured with other networks than those of {record.name}; run "
            "`galadapt fit-check --recalibrate` with this package"
        )
    return found
