"""The model package: a folder with everything needed to measure a galaxy.

- ``package.json``: requirements and accuracy of the networks (`Record`), written last;
- ``member-<k>.onnx``: the networks, one per training seed; a prediction is their mean;
- ``reference.parquet``: validation galaxies of both domains with truths (``<parameter>_true``), the
  ensemble's predictions (``_predicted``), the members' standard deviation (``_spread``) and the
  first member's features (f000, ...): what errors and the flag `unlike_training` come from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from galadapt import __version__
from galadapt.config.base import Interval, Section, fault_of
from galadapt.config.image import Psf
from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.files import read_table, require
from galadapt.core.neighbours import Neighbourhood
from galadapt.core.provenance import digest, file_digest
from galadapt.core.quantity import PARAMETERS
from galadapt.general.package import GeneralPackage, is_general, read
from galadapt.learners.predict import feature_columns
from galadapt.prediction.intervals import KINDS, WidestIntervals
from galadapt.stamps.preprocess import Step

#: Magnitudes by which a training must reach beyond what is claimed.
FAINT_MARGIN = 1.5

SCHEMA = "galadapt-package-4"
RECORD, REFERENCE = "package.json", "reference.parquet"


class Member(Section):
    """One network; its file lies in the package itself."""

    file: str = Field(pattern=r"^(member-[0-9]+|network)\.onnx$")
    seed: int
    digest: str
    target_scaling: dict[str, Any]


class Quality(Section):
    """Accuracy of the ensemble on one domain's `n` test galaxies, in one parameter.

    R², and median and NMAD of the errors (`galadapt.core.quantity`); None where not defined.
    """

    domain: str
    parameter: str = Field(pattern=f"^({'|'.join(PARAMETERS)})$")
    n: int
    r2: float | None
    bias: float | None
    scatter: float | None


class Record(Section):
    """The content of package.json."""

    name: str  #: task/variant/method.
    parameters: tuple[str, ...]  #: What is predicted: `PARAMETERS`.
    members: tuple[Member, ...] = Field(min_length=1)
    reference_digest: str  #: SHA-256 of reference.parquet.
    size: int = Field(ge=0)  #: Bytes of the networks and the reference.
    variant_steps: tuple[Step, ...]  #: Chain from a stamp to the networks' input.
    stamp_size: int = Field(ge=8)  #: Side of a stamp before the chain [px].
    pixel_scale: float = Field(gt=0)  #: Of stamps and radii [arcsec/px].
    zero_point: float  #: AB magnitude of 1 unit of a stamp.
    band: str
    pixel_rms: float = Field(gt=0)  #: Noise the chain scales by, the training's [unit of a stamp].
    #: Correlation of neighbouring pixels' noise in the simulations; None: not measured.
    noise_correlation: float | None = None
    exposure_time: float | None = None  #: Of the simulations' photon noise [s]; None: unknown.
    psf: Psf  #: Of the simulations.
    psf_fwhm: float = Field(gt=0)  #: Its `galadapt.simulation.psf.fwhm` [arcsec].
    extraction: Extraction  #: How stamps are cut out.
    #: Whether stamps may reach beyond the image; the networks are given which pixels are missing.
    beyond_edges: bool = False
    #: Whether the networks are given the noise, so that any is usual.
    noise_is_input: bool = False
    training_ranges: dict[str, Interval]  #: Smallest and largest training label, by parameter.
    method: dict[str, Any]  #: Settings of the training.
    labels_of: tuple[str, ...]  #: Domains whose labels were trained on.
    survey: str  #: Kind of the survey it was adapted to or tested on.
    #: Domains whose reference galaxies errors come from: the widest of what they give.
    reference_domains: tuple[str, ...] = Field(min_length=1)
    feature_domains: tuple[str, ...]  #: Domains whose reference galaxies are like the training.
    #: Rows (domain, level, magnitude_low, magnitude_high, n, one share per parameter) measured on
    #: the test galaxies of both domains.
    coverage: tuple[dict[str, Any], ...]
    quality: tuple[Quality, ...]  #: On the same galaxies.
    licence: str
    citation: str
    version: str  #: Of galadapt.
    provenance: dict[str, Any]  #: Settings and code that made the package.

    @property
    def claimed_ranges(self) -> dict[str, Interval]:
        """Ranges in which a prediction is valid without a confirmation by the pixels.

        For galaxies fainter than any of the training, networks predict its faintest magnitudes. So
        the faint end of the training's magnitudes is left out.
        """
        low, high = self.training_ranges["magnitude"].low, self.training_ranges["magnitude"].high
        faintest = max(high - FAINT_MARGIN, (low + high) / 2)
        return {**self.training_ranges, "magnitude": Interval(low=low, high=faintest)}

    @property
    def whole_coverage(self) -> list[dict[str, Any]]:
        """The rows of `coverage` of all magnitudes together."""
        ends = ("magnitude_low", "magnitude_high")
        return [row for row in self.coverage if all(row.get(end) is None for end in ends)]

    @property
    def digest(self) -> str:
        """Digest of all its values, and so of the networks and the reference galaxies."""
        return digest(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Package:
    """An open package: its folder, package.json and reference.parquet."""

    folder: Path
    record: Record
    reference: pd.DataFrame

    @cached_property
    def intervals(self) -> WidestIntervals:
        """Errors from the reference galaxies, the widest of those of each domain."""
        return WidestIntervals(self.reference, self.record.reference_domains, PARAMETERS)

    @cached_property
    def familiarity(self) -> Familiarity:
        """Distances from the reference galaxies of the domains trained on."""
        rows = self.reference[self.reference["domain"].isin(self.record.feature_domains)]
        return Familiarity(rows[feature_columns(self.reference)].to_numpy(float))


class Familiarity:
    """How far a stamp's standardised features lie from those of the reference galaxies."""

    def __init__(self, features: np.ndarray) -> None:
        """Prepare from the features of the reference galaxies (n, f)."""
        self._mean, width = features.mean(axis=0), features.std(axis=0)
        # A feature that never changes would divide by zero.
        self._width = np.where(width > 1e-6, width, np.inf)
        self._around = Neighbourhood((features - self._mean) / self._width, "ball_tree")

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Distance of stamps (n, f) in units of the limit: above 1 they are unlike the training."""
        if len(features) == 0:
            return np.zeros(0)
        return self._around.distance((features - self._mean) / self._width)


def opened_package(folder: str | Path) -> Package | GeneralPackage:
    """Open a package of either kind: of trained runs, or of the network for any image.

    Raises:
        DataError: it is missing, broken, or of another version.
    """
    if is_general(Path(folder)):
        return read(folder)
    return read_package(folder)


def read_package(folder: str | Path) -> Package:
    """Open a package; a DataError if it is missing, broken, or of another version."""
    folder = Path(folder)
    path = folder / RECORD
    if not path.is_file():
        raise DataError(
            f"{folder}: no prediction package here (no {RECORD}); give the folder of one, fetch "
            "one with `galadapt models fetch`, or make one with `make demo`"
        )
    record = parse_record(path.read_bytes(), path)
    for file, named in (
        *((member.file, member.digest) for member in record.members),
        (REFERENCE, record.reference_digest),
    ):
        if not (folder / file).is_file() or file_digest(folder / file) != named:
            raise DataError(
                f"{folder / file}: missing, or not the file that {RECORD} names; make or fetch "
                "the package again"
            )
    reference = read_table(folder / REFERENCE)
    _check_reference(reference, record, folder / REFERENCE)
    return Package(folder, record, reference)


def parse_record(text: bytes, path: str | Path) -> Record:
    """Read a package.json (`path`: for messages); a DataError if broken or of another version."""
    try:
        values = json.loads(text.decode("utf-8"))
        schema, version = values.pop("schema", None), values.get("version", "of unknown version")
    except (ValueError, AttributeError, TypeError):
        raise DataError(f"{path}: not valid JSON; make or fetch the package again") from None
    if schema != SCHEMA:
        raise DataError(
            f"{path}: made by galadapt {version}, whose schema is {schema!r}, while galadapt "
            f"{__version__} reads {SCHEMA!r}; make the package again with this version, or fetch "
            "a newer one"
        )
    remedy = "make the package again with this version"
    try:
        record = Record.model_validate(values)
    except ValidationError as error:
        raise DataError(f"{path}: {fault_of(error)}; {remedy}") from None
    if record.parameters != PARAMETERS:
        measured, all_of_them = ", ".join(record.parameters), ", ".join(PARAMETERS)
        raise DataError(f"{path}: measures {measured}, not {all_of_them}; {remedy}")
    require(record.training_ranges, PARAMETERS, path, remedy, "training range")
    return record


def _check_reference(reference: pd.DataFrame, record: Record, path: Path) -> None:
    columns = {kind: [f"{name}_{kind}" for name in record.parameters] for kind in KINDS}
    needed = ["domain", *(name for names in columns.values() for name in names), "f000"]
    require(reference, needed, path, "make or fetch the package again")
    finite = [*feature_columns(reference), *columns["predicted"], *columns["spread"]]
    if not np.isfinite(reference[finite].to_numpy(float)).all():
        raise DataError(f"{path}: holds values that are not finite; make or fetch it again")
    for what, domains in (
        *(("reference_domains", (domain,)) for domain in record.reference_domains),
        ("feature_domains", record.feature_domains),
    ):
        count = int(reference["domain"].isin(domains).sum())
        if count < 2:
            raise DataError(
                f"{path}: holds {count} galaxies of the {what} {', '.join(domains)}; make or fetch "
                "the package again"
            )


def newest_package(models: str | Path) -> Path:
    """Find the newest package under a folder; a DataError if there is none."""
    found = packages_under(models)
    if not found:
        raise DataError(
            f"{models}: no prediction package found; train one with `make demo`, or name one "
            "with --model"
        )
    return found[-1]


def packages_under(models: str | Path) -> list[Path]:
    """Name the packages under a folder by the age of their package.json, the newest last.

    Hidden folders do not count: those hold what is still being written.
    """
    models = Path(models)
    found = [
        path
        for path in models.glob(f"**/{RECORD}")
        if not any(part.startswith(".") for part in path.relative_to(models).parts)
    ]
    found.sort(key=lambda path: (path.stat().st_mtime, str(path)))
    return [path.parent for path in found]
