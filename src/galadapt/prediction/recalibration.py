"""Errors enlarged to what a profile fit shows on the user's own images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from galadapt.config.base import Section
from galadapt.core.errors import DataError
from galadapt.core.files import write_json
from galadapt.prediction.package import Record

#: Objects of a bin of magnitude, and fewest objects at all.
_PER_BIN, FEWEST = 25, 20

#: Largest factor; what needs more is not a matter of errors.
_LARGEST = 10.0


class Bin(Section):
    """Factors of the errors at one magnitude."""

    magnitude: float  #: median of the predicted magnitudes of the bin
    objects: int = Field(ge=1)
    factors: dict[str, float]  #: at least 1, by parameter


class Recalibration(Section):
    """Factors of the errors of one package, measured on one field."""

    networks: tuple[str, ...]  #: digests of the package's networks
    bins: tuple[Bin, ...] = Field(min_length=1)

    def factors(self, parameters: Sequence[str], magnitude: np.ndarray) -> np.ndarray:
        """Factors (n, p) at predicted magnitudes (n,), linear between the bins."""
        places = [one.magnitude for one in self.bins]
        columns = [
            np.interp(magnitude, places, [one.factors.get(name, 1.0) for one in self.bins])
            for name in parameters
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
    known = table.dropna(subset=[f"{name}_fitted" for name in record.parameters])
    known = known.dropna(subset=[f"{name}_err" for name in record.parameters])
    known = known.sort_values("magnitude", kind="stable")
    if len(known) < FEWEST:
        raise DataError(
            f"--recalibrate: {len(known)} objects with a fit and an error, {FEWEST} are needed; "
            "raise --sample"
        )
    bins = []
    for rows in np.array_split(np.arange(len(known)), max(len(known) // _PER_BIN, 1)):
        here = known.iloc[rows]
        factors = {}
        for name in record.parameters:
            apart = (here[name] - here[f"{name}_fitted"]).abs() / here[f"{name}_err"]
            # Conformal, never optimistic.
            rank = min(int(np.ceil((len(here) + 1) * level)), len(here)) - 1
            wanted = float(np.sort(apart.to_numpy())[rank])
            factors[name] = round(float(np.clip(wanted, 1.0, _LARGEST)), 3)
        middle = round(float(here["magnitude"].median()), 3)
        bins.append(Bin(magnitude=middle, objects=len(here), factors=factors))
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
        found = Recalibration.model_validate(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, ValidationError):
        raise DataError(
            f"{path}: no recalibration; make one with `galadapt fit-check --recalibrate`"
        ) from None
    if found.networks != networks_of(record):
        raise DataError(
            f"{path}: measured with other networks than those of {record.name}; run "
            "`galadapt fit-check --recalibrate` with this package"
        )
    return found
