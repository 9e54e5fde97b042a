"""The kinds of learner by name, loaded when used: editing one reruns only what it trained."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from galadapt.answers.registry import KINDS
from galadapt.config.training import Training

if TYPE_CHECKING:
    from galadapt.learners.base import Learner

#: Module and class of each kind.
LEARNERS = {
    "keras": ("galadapt.learners.keras.learner", "KerasLearner"),
    "ensemble": ("galadapt.learners.ensemble", "EnsembleLearner"),
    "sklearn": ("galadapt.learners.sklearn", "SklearnLearner"),
}


def load(kind: str) -> type[Learner]:
    """Import a kind of learner."""
    module, name = LEARNERS[kind]
    return getattr(import_module(module), name)


def modules(methods: Mapping[str, Training], name: str) -> set[str]:
    """Name what registries load to train or run a method: its learner and answer, and those of
    the methods it builds on."""
    found: set[str] = set()
    method: str | None = name
    while method is not None:
        settings = methods[method]
        found |= {LEARNERS[settings.learner.kind][0], KINDS[settings.answer_kind].learning[0]}
        method = settings.builds_on
    return found
