"""Votes: how many volunteers give each answer of a tree of questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from galadapt.answers.base import Answer
from galadapt.answers.votes.distribution import log_likelihood, moments
from galadapt.answers.votes.heads import SHIFT, alphas, conditional_of_tree
from galadapt.answers.votes.tree import Tree
from galadapt.config.votes import VoteMethod
from galadapt.core.errors import DataError
from galadapt.core.files import require
from galadapt.core.quantity import Quantity
from galadapt.stamps.format import StampSet

if TYPE_CHECKING:
    import keras

#: Volunteers that predicted shares stand for where predictions become labels.
VOLUNTEERS = 40


@dataclass(frozen=True)
class Votes(Answer):
    """The votes of volunteers; labels are their numbers."""

    tree: Tree  #: the questions
    head: str = "tree"  #: how outputs are read: independent, tree or dirichlet
    survey_labels: bool = False  #: whether votes of the survey may be used

    @classmethod
    def of_method(
        cls, method: VoteMethod, quantities: Sequence[Quantity], stamps: StampSet
    ) -> Votes:
        """Take the questions that the stamps name; a DataError if they name none."""
        return cls(tree_of(stamps), method.head, method.survey_labels)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Votes:
        """Rebuild from `record`; a DataError if it is incomplete."""
        tree, labelled = Tree.from_list(record.get("tree", [])), bool(record.get("survey_labels"))
        return cls(tree, str(record.get("head")), labelled)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the answers, in the order of the outputs."""
        return self.tree.names

    @property
    def outputs(self) -> int:
        """One number per answer."""
        return len(self.names)

    @property
    def activation(self) -> str:
        """Shares of their own lie between 0 and 1; the other heads read any number."""
        return "sigmoid" if self.head == "independent" else "linear"

    def labels(self, stamps: StampSet, rows: np.ndarray) -> np.ndarray:
        """Read the votes, (n, K) float64; NaN where a stamp has none."""
        columns = [f"votes_{name}" for name in self.names]
        remedy = "give stamps whose volunteers were asked the questions that were learned"
        require(stamps.table, columns, stamps.paths[0], remedy)
        return stamps.table.loc[rows, columns].to_numpy(np.float64)

    def fitted(self, labels: np.ndarray, start: Mapping[str, Any] | None) -> Self:
        """Check that the start has the same questions and head."""
        if start is not None and (
            start.get("tree") != self.tree.to_list() or start.get("head") != self.head
        ):
            raise DataError("learned another tree of questions, or has another head")
        return self

    def transform(self, labels: np.ndarray) -> np.ndarray:
        """Return the shares, or for the head dirichlet the votes themselves.

        Shares are unknown (NaN) where nobody was asked a first question.
        """
        if self.head == "dirichlet":
            return labels
        return self.tree.shares(self.tree.conditional(labels))

    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """Return votes, of shares those that `VOLUNTEERS` volunteers are expected to give."""
        return targets if self.head == "dirichlet" else VOLUNTEERS * targets

    def inverse(self, outputs: np.ndarray) -> np.ndarray:
        """Return the votes that `VOLUNTEERS` volunteers are expected to give, (n, K)."""
        return VOLUNTEERS * self.tree.shares(self._conditional(outputs))

    def averageable(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs that stand for the same shares, of one scale."""
        if self.head != "tree":
            return outputs
        return (conditional_of_tree(outputs, self.tree) - SHIFT).astype(np.float32)

    def population(self, outputs: np.ndarray) -> np.ndarray:
        """Return the shares of the answers that lead to a question: who is asked what.

        Of all answers, so many squares and products would tell any two samples apart.
        """
        return self.tree.shares(self._conditional(outputs))[:, self.tree.leading]

    def loss(self, reduction: str) -> keras.losses.Loss:
        """Return the squared error of shares, or the likelihood of votes."""
        from keras import losses

        from galadapt.answers.votes.loss import ShareError, VoteLikelihood

        if self.head == "independent":
            return losses.MeanSquaredError(reduction=reduction)
        kind = ShareError if self.head == "tree" else VoteLikelihood
        return kind(self.tree, reduction=reduction)

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return squared errors of shares, or negative log-likelihoods; NaN if an output is."""
        if self.head == "dirichlet":
            return -log_likelihood(targets, self.alphas(outputs), self.tree).sum(axis=1)
        return ((self.tree.shares(self._conditional(outputs)) - targets) ** 2).mean(axis=1)

    def columns(
        self, outputs: np.ndarray, stamps: StampSet, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Name for every answer its votes, predicted share and alpha; of simulations the true
        share.

        Args:
            outputs: (n, K), or (n, S, K) of a learner that gives samples.
        """
        parameters = self.alphas(outputs)
        shares = self.tree.shares(self.tree.conditional(parameters))
        votes = self.labels(stamps, rows)
        found = {}
        for column, name in enumerate(self.names):
            found[f"{name}_votes"] = votes[:, column]
            found[f"{name}_share"] = shares[:, column]
            found[f"{name}_alpha"] = parameters[:, column]
        true = [f"true_{name}" for name in self.names]
        if all(name in stamps.table for name in true):
            chances = stamps.table.loc[rows, true].to_numpy(np.float64)
            for name, share in zip(self.names, self.tree.shares(chances).T, strict=True):
                found[f"{name}_true"] = share
        return found

    def record(self) -> dict[str, Any]:
        """Keep the questions, the head, and whose votes may be used."""
        return {
            "kind": "votes",
            "tree": self.tree.to_list(),
            "head": self.head,
            "survey_labels": self.survey_labels,
        }

    def alphas(self, outputs: np.ndarray) -> np.ndarray:
        """Return the parameters of the distributions, (n, K), samples joined into one."""
        found = alphas(outputs, self.head, self.tree)
        return moments(found, self.tree) if found.ndim == 3 else found

    def _conditional(self, outputs: np.ndarray) -> np.ndarray:
        return self.tree.conditional(self.alphas(outputs))


def tree_of(stamps: StampSet) -> Tree:
    """Return the questions of a stamp set.

    Raises:
        DataError: it names none.
    """
    require(stamps.metadata, ["tree"], stamps.paths[0], "rerun the stage that writes it", "key")
    return Tree.from_list(stamps.metadata["tree"])
