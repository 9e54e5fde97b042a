"""The package of the network for any image: `network.onnx` and its record, `package.json`.

The record says what the network was trained on, how wide its errors must be, how accurate it is,
and what a stamp of the training looks like inside the network. It is written last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from galadapt.config.base import Interval, Section, fault_of
from galadapt.config.general import General
from galadapt.core.errors import DataError
from galadapt.core.provenance import digest, file_digest
from galadapt.general import run
from galadapt.general.inputs import BINNED, CENTRE, RINGS, WIDTHS
from galadapt.general.parameters import PARAMETERS, SIDE

SCHEMA = "galadapt-general-1"
NETWORK, RECORD = "network.onnx", "package.json"

#: Where the released package lies.
RELEASED = Path(__file__).parents[1] / "released"

#: How inputs are made of stamps: a package made for others cannot be run.
INPUTS = {
    "side": SIDE,
    "centre": CENTRE,
    "binned": BINNED,
    "widths": list(WIDTHS),
    "rings": list(RINGS),
    "parameters": list(PARAMETERS),
}


class Calibration(Section):
    """Factors by which errors are multiplied, by ln(flux over noise) of the galaxy."""

    ln_flux: tuple[float, ...]  #: Middles of the bins, increasing.
    #: A row per bin: a factor for each of the seven numbers, and one for the ellipticity.
    factors: tuple[tuple[float, ...], ...]


class Familiar(Section):
    """Features of the training: distances from their mean along their main directions."""

    mean: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]  #: Times the inverse scatter along each.
    limit: float = Field(gt=0)  #: Distance that 1 % of the training exceeds.


class GeneralRecord(Section):
    """The content of package.json."""

    name: str
    network_digest: str  #: SHA-256 of network.onnx.
    size: int = Field(ge=0)  #: Its bytes.
    inputs: dict[str, Any]  #: `INPUTS` of the version that made it.
    recipe: General  #: Settings of the training.
    steps: int = Field(ge=0)  #: Steps of the training.
    stamps: int = Field(ge=0)  #: Stamps it has seen.
    cpu_seconds: float = Field(ge=0)  #: Of one core.
    ranges: dict[str, Interval]  #: What is claimed, narrower than what was trained on.
    calibration: Calibration
    familiar: Familiar
    #: Rows of the tests on simulations of other seeds: domain, quantity, range of ln_flux, n,
    #: bias, NMAD, R², coverage of the 68 and 95 % errors.
    quality: tuple[dict[str, Any], ...]
    #: What combines the network with the fit of the pixels (`galadapt.fitting`); None: nothing.
    fusion: dict[str, Any] | None = None
    #: Rows as `quality`, of what the two give together, on galaxies of a further seed.
    refined_quality: tuple[dict[str, Any], ...] = ()
    licence: str
    citation: str
    version: str  #: Of galadapt.
    provenance: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of all its values, and so of the network."""
        return digest(self.model_dump(mode="json"))


@dataclass(frozen=True)
class GeneralPackage:
    """An open package."""

    folder: Path
    record: GeneralRecord

    @cached_property
    def _network(self) -> run.Network:
        return run.opened(self.folder / NETWORK)

    def measure(
        self,
        images: np.ndarray,
        valid: np.ndarray,
        noise: np.ndarray,
        psfs: np.ndarray,
        psf_index: np.ndarray,
    ) -> run.Measured:
        """Measure stamps with calibrated errors; see `run.measure`."""
        found = run.measure(self._network, images, valid, noise, psfs, psf_index)
        return calibrated(found, noise, self.record.calibration)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Distance of features (n, f) from the training's, over its limit: above 1 unusual."""
        return distance(features, self.record.familiar) / self.record.familiar.limit


def calibrated(found: run.Measured, noise: np.ndarray, calibration: Calibration) -> run.Measured:
    """Widen or narrow the errors by the factors of the galaxies' brightness."""
    brightness = found.theta[:, 0] - np.log(noise)
    factors = np.array(calibration.factors).T
    scale = np.stack([np.interp(brightness, calibration.ln_flux, row) for row in factors], axis=1)
    own = scale[:, : run.P]
    return found._replace(
        covariance=found.covariance * own[:, :, None] * own[:, None, :],
        ellipticity_err=found.ellipticity_err * scale[:, run.P],
    )


def distance(features: np.ndarray, familiar: Familiar) -> np.ndarray:
    """Root mean square of the standardised main components of features (n, f)."""
    # One at a time: a product of many depends on how they are grouped.
    along = ((features - familiar.mean)[:, None] @ np.array(familiar.directions).T)[:, 0]
    return np.sqrt(np.mean(along**2, axis=1))


def is_general(folder: Path) -> bool:
    """Whether a folder holds a package of the network for any image, whole or broken."""
    return (folder / NETWORK).exists()


def read(folder: str | Path) -> GeneralPackage:
    """Open a package; a DataError if it is missing, broken, or of another version."""
    folder = Path(folder)
    path = folder / RECORD
    remedy = "install galadapt again, or make the package again with `galadapt general release`"
    if not path.is_file():
        raise DataError(f"{path}: missing; {remedy}")
    try:
        content = json.loads(path.read_bytes())
        schema = content.pop("schema", None) if isinstance(content, dict) else None
    except ValueError:
        raise DataError(f"{path}: not JSON; {remedy}") from None
    if schema != SCHEMA:
        raise DataError(
            f"{path}: of format {schema!r}, this version reads {SCHEMA}; use the version of "
            f"galadapt that made it, or {remedy}"
        )
    try:
        record = GeneralRecord.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path}: {fault_of(error)}; {remedy}") from None
    if record.inputs != INPUTS:
        other = [key for key in INPUTS if record.inputs.get(key) != INPUTS[key]]
        raise DataError(
            f"{path}: made for other inputs ({', '.join(other)}) by galadapt {record.version}; "
            f"use that version, or {remedy}"
        )
    network = folder / NETWORK
    if not network.is_file() or file_digest(network) != record.network_digest:
        raise DataError(f"{network}: missing, or not the file that {RECORD} names; {remedy}")
    return GeneralPackage(folder, record)
