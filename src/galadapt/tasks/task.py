"""What a task is."""

from __future__ import annotations

from dataclasses import dataclass

from galadapt.tasks.experiment import Experiment


@dataclass(frozen=True)
class Task:
    """One task. Its stages are in the module ``stages`` beside, its rules in ``data_<task>.smk``.

    Attributes:
        settings: Its experiment.
        parts: Names of the optional rules it takes from ``workflow/rules/parts``.
    """

    settings: type[Experiment]
    parts: tuple[str, ...] = ()
