"""The tree of questions that volunteers answer, and its arithmetic.

A volunteer reaches a question by giving its parent, an answer of an earlier question. Of each
answer there are three numbers: its votes, its conditional share (of those who reached the question)
and its share (of all volunteers: conditional share times the share of the parent). Arrays hold the
K answers of all questions along their last axis, in the order of the tree.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.base import rebuilt
from galadapt.core.errors import DataError

_TREES = Path(__file__).parent / "trees"


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: Unique in the tree.
        answers: Their names.
        parent: Name of the answer that leads here, as `Tree.names` has it; "" for a first question.
    """

    name: str
    answers: tuple[str, ...]
    parent: str = ""


@dataclass(frozen=True)
class Tree:
    """Questions, each after its parent's."""

    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        """Check names and order.

        Raises:
            DataError: a name stands twice, or a parent is no answer of an earlier question.
        """
        known: list[str] = []
        for question in self.questions:
            if question.parent and question.parent not in known:
                raise DataError(
                    f"question '{question.name}': its parent '{question.parent}' is no answer of "
                    "an earlier question; put parents first"
                )
            known += [f"{question.name}_{answer}" for answer in question.answers]
        if len(set(known)) != len(known) or not known:
            raise DataError("a tree needs at least one answer, and each answer only once")

    @classmethod
    def from_list(cls, questions: Iterable[Mapping[str, Any]]) -> Tree:
        """Rebuild from `to_list`.

        Raises:
            DataError: it is no such list.
        """
        return cls(rebuilt(tuple[Question, ...], questions, "the tree of questions"))

    @classmethod
    def read(cls, campaign: str) -> Tree:
        """Read the tree of a campaign: gz2, decals12, decals, desi, hubble or candels."""
        table = read_campaign(campaign)
        return cls(
            tuple(
                Question(str(name), tuple(rows["answer"]), rows["parent"].iloc[0])
                for name, rows in table.groupby("question", sort=False)
            )
        )

    def to_list(self) -> list[dict[str, Any]]:
        """Return it as JSON can hold it."""
        return [
            {"name": one.name, "answers": list(one.answers), "parent": one.parent}
            for one in self.questions
        ]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the K answers, "<question>_<answer>"."""
        return tuple(f"{one.name}_{answer}" for one in self.questions for answer in one.answers)

    @cached_property
    def parts(self) -> tuple[slice, ...]:
        """Where each question's answers are."""
        ends = np.cumsum([0, *(len(one.answers) for one in self.questions)])
        return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))

    @cached_property
    def parents(self) -> tuple[int | None, ...]:
        """Place of each question's parent among the answers."""
        return tuple(self.names.index(one.parent) if one.parent else None for one in self.questions)

    @cached_property
    def leading(self) -> list[int]:
        """Places of the answers that lead to a question; all answers where none does."""
        found = sorted({parent for parent in self.parents if parent is not None})
        return found or list(range(len(self.names)))

    @cached_property
    def question_of(self) -> np.ndarray:
        """Number of the question of each answer, (K,)."""
        return np.repeat(np.arange(len(self.questions)), [len(q.answers) for q in self.questions])

    @cached_property
    def first_of(self) -> np.ndarray:
        """Number of the first question that leads to each answer, (K,)."""
        found: list[int] = []
        for number, parent in enumerate(self.parents):
            found.append(number if parent is None else found[self.question_of[parent]])
        return np.array(found)[self.question_of]

    @cached_property
    def depth(self) -> int:
        """Most questions that one volunteer answers one after the other along the tree."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(1 if parent is None else depths[self.question_of[parent]] + 1)
        return max(depths)

    def asked(self, votes: np.ndarray) -> np.ndarray:
        """Sum the votes of each question, (..., questions)."""
        return np.stack([votes[..., part].sum(axis=-1) for part in self.parts], axis=-1)

    def conditional(self, values: np.ndarray) -> np.ndarray:
        """Divide each question's values, none below 0, by their sum; NaN where it is 0."""
        total = self.asked(values)[..., self.question_of]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, values / total, np.nan)

    def shares(self, conditional: np.ndarray) -> np.ndarray:
        """Multiply conditional shares along the tree; a question nobody reached has shares 0.

        What follows from an unknown (NaN) share is unknown.
        """
        found = np.array(conditional, dtype=np.float64)
        for part, parent in zip(self.parts, self.parents, strict=True):
            if parent is not None:
                above = found[..., parent, None]
                found[..., part] = np.where(above == 0, 0.0, found[..., part] * above)
        return found

    def reached(self, shares: np.ndarray) -> np.ndarray:
        """Share of the volunteers who reach each question, (..., questions)."""
        one = np.ones(shares.shape[:-1])
        return np.stack([one if p is None else shares[..., p] for p in self.parents], axis=-1)

    def consistent(self, values: np.ndarray) -> np.ndarray:
        """Turn any values into conditional shares: negative ones are 0, each question adds up to 1.

        A question without any positive value gives all its answers the same share. NaN stays.
        """
        positive = np.where(values < 0, 0.0, np.asarray(values, np.float64))
        found = self.conditional(positive)
        equal = 1.0 / np.bincount(self.question_of)[self.question_of]
        unknown = np.isnan(values).any(axis=-1, keepdims=True)
        return np.where(unknown, np.nan, np.where(np.isnan(found), equal, found))

    def violation(self, shares: np.ndarray) -> float:
        """Return the largest deviation from the tree: of a question's sum from its parent, or below
        0."""
        wrong = np.abs(self.asked(shares) - self.reached(shares)).max(initial=0.0)
        return float(max(wrong, -shares.min(initial=0.0)))


def read_campaign(campaign: str) -> pd.DataFrame:
    """Read a campaign's table: question, answer, parent, and the columns of published tables.

    ``counts`` names the column of the votes, ``share`` that of the share ("": not published).
    """
    return pd.read_csv(_TREES / f"{campaign}.csv", dtype=str, keep_default_na=False)
