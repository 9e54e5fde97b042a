"""From the raw outputs of a learner to the parameters of the votes' distributions.

- independent: an output is a share.
- tree: outputs, moved up by `SHIFT` and cut at 0, are divided by their sum within each question
  (Dieleman et al. 2015, section 5.4; a softmax cannot give shares of exactly 0). Where none of a
  question's is above 0, their exponentials take their place: else it would have no gradient, and
  never learn again.
- dirichlet: an output is the logarithm of alpha.
"""

from __future__ import annotations

import numpy as np

from galadapt.answers.votes.distribution import LARGEST
from galadapt.answers.votes.tree import Tree

#: Added to the outputs of the head tree, so that a new network gives all answers the same share
#: and none of them starts without a gradient.
SHIFT = 1.0

#: Limits of the logarithm of alpha.
LIMITS = (-6.0, 7.0)


#: Least moved output whose exponential is computed.
LOWEST = -30.0


def conditional_of_tree(outputs: np.ndarray, tree: Tree) -> np.ndarray:
    """Return the conditional shares of the head tree, (..., K), from outputs (..., K)."""
    moved = np.asarray(outputs, np.float64) + SHIFT
    none = tree.asked(np.maximum(moved, 0))[..., tree.question_of] == 0
    return tree.consistent(np.where(none, np.exp(np.maximum(moved, LOWEST)), moved))


def alphas(outputs: np.ndarray, head: str, tree: Tree) -> np.ndarray:
    """Return the parameters of the Dirichlet distributions, (..., K), from outputs (..., K).

    A head that gives shares alone has the concentration `LARGEST`. NaN stays.
    """
    raw = np.asarray(outputs, np.float64)
    if head == "dirichlet":
        return np.exp(np.clip(raw, *LIMITS))
    conditional = conditional_of_tree(raw, tree) if head == "tree" else tree.consistent(raw)
    return conditional * LARGEST
