"""What a training is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galadapt.config import Compute, Method
from galadapt.provenance import digest, file_digest


@dataclass(frozen=True)
class Job:
    """The arguments of `galadapt.training.train.train`."""

    task: str
    variant: str
    method_name: str
    method: Method
    parameters: tuple[str, ...]
    seed: int
    simulated: Path
    survey: Path
    output: Path
    checkpoint: Path
    start_model: Path | None
    compute: Compute
    provenance: dict[str, Any]

    @property
    def label(self) -> str:
        """Name of the run in progress lines and errors."""
        return f"{self.method_name}/{self.variant}/seed{self.seed}"

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
                "simulated": file_digest(self.simulated),
                "survey": file_digest(self.survey),
                "start": start,
                "backend": self.compute.backend,
                "provenance": self.provenance,
            }
        )
