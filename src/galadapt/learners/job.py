"""One training: what decides its result, where it is written, and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from galadapt.config.base import DOMAINS
from galadapt.config.training import Compute, Training
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, require
from galadapt.core.provenance import digest, file_digest
from galadapt.core.quantity import Quantity


@dataclass(frozen=True)
class Job:
    """The arguments of a training."""

    task: str
    variant: str  #: Name of the variant the stamp sets hold.
    method_name: str
    method: Training
    quantities: tuple[Quantity, ...]  #: What a method that measures numbers measures.
    seed: int  #: Of weights, batches and orientations.
    #: Stamp set of each domain there is. Only those that `method.domains` names are read: a method
    #: that trains on simulations alone does not depend on any survey.
    given: Mapping[str, Path]
    output: Path  #: Run folder.
    checkpoint: Path  #: Folder of the state an interrupted training continues from.
    #: run.json of the run that the method builds on: its start, or where its features are from.
    start: Path | None
    #: run.json of every seed of that run, where `method.self_training` learns from them.
    teachers: tuple[Path, ...]
    compute: Compute
    #: What made this run; part of its identity, so it holds no time and no path.
    provenance: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name of the run in progress lines and errors."""
        return f"{self.method_name}/{self.variant}/seed{self.seed}"

    @property
    def stamps(self) -> dict[str, Path]:
        """Stamp sets of the method's domains, simulated first; a DataError if one is missing."""
        for domain in self.method.domains:
            if domain not in self.given:
                raise DataError(
                    f"{self.label}: trains on domain '{domain}' but was given no stamps of it; "
                    f"give its stamp set, or leave it out of method_settings.{self.method_name}"
                    ".domains"
                )
        return {domain: self.given[domain] for domain in DOMAINS if domain in self.method.domains}

    @cached_property
    def datasets(self) -> dict[str, str]:
        """Digest of each stamp set the method trains on."""
        return {domain: file_digest(path) for domain, path in self.stamps.items()}

    @cached_property
    def built_on(self) -> dict[str, Any] | None:
        """Record of the run the method builds on, or None; a DataError if it is missing."""
        if self.method.builds_on is None:
            return None
        if self.start is None:
            raise DataError(
                f"{self.label}: builds on '{self.method.builds_on}' but was given no run of it; "
                "train that method first"
            )
        return read_record(self.start)

    @cached_property
    def identity(self) -> str:
        """Digest of everything that decides the weights: no other training's state is resumed."""
        return digest(
            {
                "task": self.task,
                "variant": self.variant,
                "method": self.method.model_dump(mode="json", exclude={"description"}),
                "quantities": [quantity.name for quantity in self.quantities],
                "seed": self.seed,
                "datasets": self.datasets,
                "start": None if self.built_on is None else self.built_on["identity"],
                "teachers": [file_digest(path) for path in self.teachers],
                "backend": self.compute.backend,
                "provenance": self.provenance,
            }
        )


def read_record(run: Path) -> dict[str, Any]:
    """Read a run.json; a DataError if it is missing, broken, or of another version."""
    record = read_json(run)
    if not isinstance(record, dict) or "learner" not in record:
        raise DataError(
            f"{run}: made by galadapt 0.1.0, whose run folders are no longer read; delete "
            f"{run.parent} and run the workflow again"
        )
    needed = ("settings", "answer", "weights", "identity")
    require(record, needed, run, "delete its run folder and train again", "key")
    return record
