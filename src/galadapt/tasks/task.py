"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from galadapt.tasks.experiment import Experiment


@dataclass(frozen=True)
class Task:
    """One task. Its stages are in the module ``stages`` beside, its rules in ``data_<task>.smk``.

    Attributes:
        settings: Its experiment.
        parts: Names of the optional rules it takes from ``workflow/rules/parts``.
        plots: Columns that ``dvc plots show`` draws, by the file in ``tables`` they are in.
    """

    settings: type[Experiment]
    parts: tuple[str, ...] = ()
    plots: Mapping[str, Sequence[str]] = field(default_factory=dict)
