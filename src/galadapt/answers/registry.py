"""What networks learn: parameters, classes or masks, each behind one interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galadapt.answers.base import Target, known
from galadapt.answers.classes.answer import Classes
from galadapt.answers.classes.coder import ClassCoder
from galadapt.answers.maps.answer import Masks
from galadapt.answers.numbers.answer import Parameters
from galadapt.answers.numbers.scaler import TargetScaler
from galadapt.config.classes import ClassMethod
from galadapt.config.training import Method, Training
from galadapt.core.errors import DataError
from galadapt.stamps.format import StampSet

__all__ = ["Classes", "Masks", "Parameters", "Target", "known", "of_method", "of_run"]


def of_method(method: Training, parameters: Sequence[str], stamps: StampSet) -> Target:
    """Return what a method learns from stamps, not yet fitted to them.

    Args:
        method: A `Method` learns `parameters`, a `ClassMethod` the classes the stamps name.
        parameters: Label columns of a regression.
        stamps: A stamp set the method trains on.

    Raises:
        DataError: the stamps do not say which classes or masks they hold.
    """
    if isinstance(method, Method):
        return Parameters(
            tuple(parameters),
            tuple(method.logarithmic),
            method.loss,
            method.network.output_activation,
        )
    if not isinstance(method, ClassMethod):
        raise TypeError(f"no target for {type(method).__name__}")
    where = stamps.paths[0]
    classes = stamps.metadata.get("classes")
    if not classes:
        raise DataError(f"{where}: metadata lacks 'classes'; rerun the stage that writes it")
    ordinal = method.answer != "nominal"
    try:
        coder = ClassCoder.of(classes, method.groups, ordinal)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if method.answer != "mask":
        return Classes(coder, method.class_weights == "balanced")
    borders = stamps.metadata.get("mask_borders")
    if not borders or not stamps.has_masks:
        raise DataError(
            f"{where}: holds no masks, or not the flagged shares at which classes begin "
            "(mask_borders); choose another answer than mask"
        )
    begins = dict(zip(classes, borders, strict=True))
    return Masks(coder, tuple(min(begins[label] for label in few) for few in coder.labels[1:]))


def of_run(record: Mapping[str, Any], where: Path) -> Target:
    """Return what a finished run has learned, from its run.json.

    Raises:
        DataError: the record is incomplete.
    """
    if "mask_borders" in record:
        coder = ClassCoder.from_dict(record.get("target_classes", {}))
        return Masks(coder, tuple(map(float, record["mask_borders"])))
    if "target_classes" in record:
        return Classes(ClassCoder.from_dict(record["target_classes"]))
    if "target_scaling" not in record:
        raise DataError(f"{where}: lacks 'target_scaling'; delete its run folder and train again")
    scaler = TargetScaler.from_dict(record["target_scaling"])
    return Parameters(scaler.parameters, scaler.logarithmic, scaler=scaler)
