"""What a training is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from galadapt.config.training import Compute, Training
from galadapt.core.errors import DataError
from galadapt.core.provenance import digest, file_digest


@dataclass(frozen=True)
class Job:
    """The arguments of `galadapt.learners.train.train`."""

    task: str
    variant: str
    method_name: str
    method: Training
    parameters: tuple[str, ...]
    seed: int
    simulated: Path | None
    survey: Path | None
    output: Path
    checkpoint: Path
    start_model: Path | None
    compute: Compute
    provenance: dict[str, Any]
    teachers: tuple[Path, ...] = ()

    @property
    def label(self) -> str:
        """Name of the run in progress lines and errors."""
        return f"{self.method_name}/{self.variant}/seed{self.seed}"

    @property
    def stamps(self) -> dict[str, Path]:
        """Stamp sets of the domains the method trains on, the simulated one first.

        Raises:
            DataError: one of them was not given.
        """
        given = {"simulated": self.simulated, "survey": self.survey}
        found: dict[str, Path] = {}
        for domain, path in given.items():
            if domain not in self.method.domains:
                continue
            if path is None:
                raise DataError(
                    f"{self.label}: trains on domain '{domain}' but was given no stamps of it; "
                    f"give its stamp set, or leave it out of method_settings.{self.method_name}"
                    ".domains"
                )
            found[domain] = path
        return found

    @cached_property
    def datasets(self) -> dict[str, str]:
        """Digest of each stamp set the method trains on."""
        return {domain: file_digest(path) for domain, path in self.stamps.items()}

    def identity(self, start: str | None) -> str:
        """Digest everything that decides the weights: another training's state is never resumed.

        Args:
            start: Identity of the run whose weights are the start; None: random weights.
        """
        return digest(
            {
                "task": self.task,
                "variant": self.variant,
                "method": self.method.model_dump(mode="json", exclude={"description"}),
                "parameters": self.parameters,
                "seed": self.seed,
                "datasets": self.datasets,
                "start": start,
                "teachers": [file_digest(path) for path in self.teachers],
                "backend": self.compute.backend,
                "provenance": self.provenance,
            }
        )
