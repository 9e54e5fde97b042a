"""The kinds of answer by name, and where each is learned, judged and drawn.

Modules are loaded by name, so that a job depends on the code of its own kind only: the stage that
loads one names it to the code digest (`galadapt.core.stage`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galadapt.answers.base import Answer
from galadapt.config.training import Training
from galadapt.core.errors import DataError
from galadapt.core.quantity import Quantity
from galadapt.stamps.format import StampSet


@dataclass(frozen=True)
class Kind:
    """One kind of answer.

    Attributes:
        learning: Module and class that implement `galadapt.answers.base.Answer`.
    """

    learning: tuple[str, str]


KINDS = {
    "numbers": Kind(("galadapt.answers.numbers.answer", "Numbers")),
    "classes": Kind(("galadapt.answers.classes.answer", "Classes")),
    "maps": Kind(("galadapt.answers.maps.answer", "Maps")),
}


def _class(kind: str) -> Any:
    module, name = KINDS[kind].learning
    return getattr(importlib.import_module(module), name)


def of_method(method: Training, quantities: Sequence[Quantity], stamps: StampSet) -> Answer:
    """Return what a method learns from stamps, not yet fitted to them.

    Args:
        method: Its settings.
        quantities: What a method that measures numbers measures.
        stamps: A stamp set the method trains on.

    Raises:
        DataError: the stamps do not hold what the method learns.
    """
    answer: Answer = _class(method.answer_kind).of_method(method, quantities, stamps)
    return answer


def of_run(run: Mapping[str, Any], where: Path) -> Answer:
    """Return what a finished run has learned.

    Args:
        run: Its run.json.
        where: The file, for messages.

    Raises:
        DataError: the record is incomplete.
    """
    record = run.get("answer") or {}
    if record.get("kind") not in KINDS:
        raise DataError(f"{where}: lacks 'answer'; delete its run folder and train again")
    answer: Answer = _class(record["kind"]).of_record(record)
    return answer
