"""The kinds of answer by name, and the modules that learn, evaluate and draw each.

Modules are loaded by name, so that a job depends on the code of its own kind only: the stage that
loads one names it to the code digest (`galadapt.core.stage`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from galadapt.answers.classes.settings import ClassEvaluation
from galadapt.answers.numbers.settings import Evaluation
from galadapt.answers.votes.settings import VoteEvaluation
from galadapt.config.base import Section
from galadapt.config.training import Training
from galadapt.core.errors import DataError
from galadapt.core.quantity import Quantity

if TYPE_CHECKING:
    # Keras, which `base` imports, must wait until its backend is chosen; and no training depends on
    # how tables look.
    from galadapt.answers.base import Answer
    from galadapt.answers.view import Judging
    from galadapt.stamps.format import StampSet


#: Columns of a table that breaks the metrics of a run down.
BREAKDOWN = ["domain", "item", "by", "level", "metric", "value"]


@dataclass(frozen=True)
class Kind:
    """One kind of answer."""

    learning: tuple[str, str]  #: module and class that implement `galadapt.answers.base.Answer`
    judging: str  #: module that implements `galadapt.answers.view.Judging`
    figures: str  #: module that draws the figures named below
    settings: type[Section]  #: section ``evaluation`` of the configuration
    run_figures: tuple[str, ...]  #: figures of one run
    variant_figures: tuple[str, ...]  #: figures of one variant's methods side by side
    comparison_figures: tuple[str, ...]  #: figures of all runs
    #: Further tables of one run, besides metrics.json and breakdown.csv.
    tables: tuple[str, ...] = ()
    pictures: bool = False  #: whether the figures of one run show its stamps


_NUMBERS, _CLASSES = "galadapt.answers.numbers", "galadapt.answers.classes"
_VOTES = "galadapt.answers.votes"

_classes = Kind(
    learning=(f"{_CLASSES}.answer", "Classes"),
    judging=f"{_CLASSES}.judging",
    figures=f"{_CLASSES}.figures",
    settings=ClassEvaluation,
    run_figures=("confusion", "roc", "scores", "learning"),
    variant_figures=(),
    comparison_figures=("quality", "errors"),
    tables=("groups.csv",),
)

KINDS = {
    "numbers": Kind(
        learning=(f"{_NUMBERS}.answer", "Numbers"),
        judging=f"{_NUMBERS}.judging",
        figures=f"{_NUMBERS}.figures",
        settings=Evaluation,
        run_figures=("scatter", "distributions", "residuals", "learning"),
        variant_figures=("survey_scatter",),
        comparison_figures=("r2_by_method", "scatter_by_magnitude"),
    ),
    "classes": _classes,
    # The class follows from the map, and is evaluated like any other.
    "maps": replace(_classes, learning=("galadapt.answers.maps.answer", "Maps")),
    "votes": Kind(
        learning=(f"{_VOTES}.answer", "Votes"),
        judging=f"{_VOTES}.judging",
        figures=f"{_VOTES}.figures",
        settings=VoteEvaluation,
        run_figures=("galaxies", "certain", "reliability", "sparsification", "learning"),
        variant_figures=(),
        comparison_figures=("quality", "questions"),
        tables=("temperatures.csv",),
        pictures=True,
    ),
}


def judging(kind: str) -> Judging:
    """Load the module that evaluates a kind of answer."""
    return cast("Judging", importlib.import_module(KINDS[kind].judging))


def figures(kind: str) -> Any:
    """Load the module that draws a kind of answer."""
    return importlib.import_module(KINDS[kind].figures)


def record_of(run: Mapping[str, Any], where: Path) -> Mapping[str, Any]:
    """Return what a run.json keeps of its answer; `where` is the file, for messages.

    Raises:
        DataError: it keeps none.
    """
    record: Mapping[str, Any] = run.get("answer") or {}
    if record.get("kind") not in KINDS:
        raise DataError(
            f"{where}: lacks 'answer', as those of galadapt 0.1.0 do; delete its run folder and "
            "train again"
        )
    return record


def _class(kind: str) -> type[Answer]:
    module, name = KINDS[kind].learning
    return getattr(importlib.import_module(module), name)


def of_method(method: Training, quantities: Sequence[Quantity], stamps: StampSet) -> Answer:
    """Return what a method learns from stamps; as `galadapt.answers.base.Answer.of_method`."""
    return _class(method.answer_kind).of_method(method, quantities, stamps)


def of_run(run: Mapping[str, Any], where: Path) -> Answer:
    """Return what a finished run has learned; `run` and `where` as in `record_of`.

    Raises:
        DataError: the record is incomplete.
    """
    record = record_of(run, where)
    return _class(record["kind"]).of_record(record)
