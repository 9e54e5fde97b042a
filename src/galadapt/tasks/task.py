"""What a task is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from galadapt.core.quantity import Quantity
from galadapt.tasks.experiment import Experiment

if TYPE_CHECKING:
    # Better words must not rerun what depends on the task alone.
    from galadapt.report.words import Words


@dataclass(frozen=True)
class Task:
    """One task.

    Its stages are in the module ``stages`` beside, the words of its report in ``words``, its rules
    in ``workflow/rules/data_<task>.smk``.
    """

    package: str  #: the package that holds it
    settings: type[Experiment]  #: its experiment
    data_figures: tuple[str, ...]  #: names of the figures of its stamps (`galadapt.report.data`)
    #: What is measured, where it measures numbers, in the order of every table.
    quantities: tuple[Quantity, ...] = ()
    #: Names of the optional rules it takes from ``workflow/rules/parts``.
    parts: tuple[str, ...] = ()

    @property
    def words(self) -> Words:
        """The words of its report."""
        return import_module(f"{self.package}.words").WORDS
