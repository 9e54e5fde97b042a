"""From what can be seen of a galaxy to the votes of volunteers: the tree of Galaxy Zoo 2.

Volunteers see only images. A feature counts by its visibility, the signal-to-noise ratio a matched
filter would reach in the image; probabilities of answers are logistic in its logarithm, in the axis
ratio and in the share of the bulge after the PSF. Volunteers differ: the probabilities of a
galaxy's question scatter as a Dirichlet distribution. The constants were tuned to mean votes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from galadapt.answers.votes.tree import Tree
from galadapt.tasks.votes.data import Volunteers
from galadapt.tasks.votes.galaxies import Scene
from galadapt.tasks.votes.telescope import Optics

#: Contrast, of what is seen to the light around it, that the eye cannot distinguish from noise.
_CONTRAST = 0.1

_FAINTEST = 0.4  #: added to visibilities, so that what cannot be seen has a logarithm

#: Visibility at which an average volunteer notices a feature.
_NOTICED = {
    "arms": 4.7,
    "artifact": 23.4,
    "bar": 5.5,
    "bulge": 6.2,
    "clumps": 6.2,
    "disturbed": 19.5,
    "dust": 15.6,
    "irregular": 19.5,
    "lens": 15.6,
    "merger": 23.4,
    "patches": 9.0,
    "ring": 10.9,
}

#: Features that make a galaxy look like one with features, and like an odd one.
_OF_DISCS = ("arms", "bar", "bulge", "clumps", "dust", "irregular", "patches", "ring")
_ODD = ("ring", "lens", "disturbed", "irregular", "merger", "dust")

_LEAST = 1e-4  #: least probability of an answer: mistakes happen


@dataclass(frozen=True)
class Appearance:
    """What the image shows of a galaxy.

    Attributes:
        scene: What is there.
        visibility: Signal-to-noise ratio of each of its features.
        ratio: Axis ratio after the PSF.
        resolution: Radius of the galaxy over the FWHM of the PSF.
    """

    scene: Scene
    visibility: Mapping[str, float]
    ratio: float
    resolution: float


def appearance(scene: Scene, optics: Optics, light: np.ndarray) -> Appearance:
    """Measure what can be seen.

    Args:
        scene: What is there.
        optics: The telescope.
        light: The scene's light (3, side, side), blurred.
    """
    green = light[1]
    noise = optics.variance(light)[1] + (_CONTRAST * green) ** 2
    visibility = {
        name: float(np.sqrt((optics.blurred(one[1]) ** 2 / noise).sum() / optics.independent))
        for name, one in scene.features.items()
    }
    # Second moments add up; half the radius of 90 % of the light stands for that of the galaxy.
    size, blur = (scene.radius / 2) ** 2, (optics.fwhm / 2.355) ** 2
    ratio = math.sqrt((scene.ratio**2 * size + blur) / (size + blur))
    return Appearance(scene, visibility, ratio, scene.radius / optics.fwhm)


def answer_probabilities(seen: Appearance, crowd: Volunteers, tree: Tree) -> np.ndarray:
    """Probability of each answer for those who reach its question (K,).

    Args:
        seen: What the image shows.
        crowd: Who answers.
        tree: That of campaign gz2.
    """

    def level(name: str) -> float:
        found = (seen.visibility.get(name, 0.0) + _FAINTEST) / _NOTICED[name]
        return math.log(found) - crowd.threshold

    scene = seen.scene
    features = math.log(sum(math.exp(2 * level(name)) for name in _OF_DISCS)) / 2
    thin = min(max((0.42 - seen.ratio) / 0.1, -0.5), 1.2)
    odd = math.log(sum(math.exp(2 * level(name)) for name in _ODD)) / 2
    sharp = math.log(seen.resolution / 6)
    central = math.log((scene.bulge + 0.02) / 0.2)
    winding = math.log(scene.pitch / math.radians(16))
    sure = float(expit(1.2 * level("arms") - 0.5))
    counts = np.array([-2.0, 0.6, -1.4, -2.2, -2.6, 0.9 - 1.2 * sure])
    counts[scene.arms - 1 if scene.arms else 5] += 3.5 * sure
    found = {
        "smooth-or-featured": softmax(
            [crowd.smooth, 0.75 * features + 0.45 + thin, -2.95 + 2 * max(level("artifact"), 0.0)]
        ),
        "disk-edge-on": _logistic((0.325 - seen.ratio) / 0.05),
        "bar": _logistic(0.9 * level("bar") + 0.6),
        "has-spiral-arms": _logistic(level("arms") + 0.1),
        "bulge-size": _ordinal(central + 0.3 * sharp, (-1.85, 0.05, 1.95), 0.6),
        "something-odd": _logistic(0.8 * odd - 0.35),
        "how-rounded": _ordinal(-seen.ratio, (-0.81, -0.46), 0.09),
        "odd-feature": softmax(
            [
                1.2 * level("ring") + 0.8,
                1.2 * level("lens") + 1.6,
                1.2 * level("disturbed") + 0.8,
                1.2 * level("irregular") + 0.8,
                -0.5,
                1.2 * level("merger") + 0.5,
                1.2 * level("dust") + 0.5,
            ]
        ),
        "edge-on-bulge": softmax(
            [level("bulge") + 1.8, level("bulge") + (1.2 if scene.boxy else -0.8), 0.0]
        ),
        "spiral-winding": _ordinal(winding, (-0.08, 0.8), 0.3 + 0.3 * (1 - sure)),
        "spiral-arm-count": softmax(counts),
    }
    joined = np.concatenate([found[question.name] for question in tree.questions])
    return tree.conditional(joined.clip(min=_LEAST))


def _logistic(utility: float) -> np.ndarray:
    """Probabilities of yes and of no."""
    yes = float(expit(utility))
    return np.array([yes, 1 - yes])


def _ordinal(value: float, borders: tuple[float, ...], scatter: float) -> np.ndarray:
    """Probabilities to be below, between and above borders, seen with a logistic scatter."""
    below = expit((np.array(borders) - value) / scatter)
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


def walk(
    probabilities: np.ndarray, crowd: Volunteers, tree: Tree, rng: np.random.Generator
) -> np.ndarray:
    """Send volunteers through the tree: the number of votes of each answer (K,)."""
    volunteers = int(rng.integers(int(crowd.number.low), int(crowd.number.high) + 1))
    votes = np.zeros(len(tree.names))
    for part, parent in zip(tree.parts, tree.parents, strict=True):
        chances = rng.dirichlet(crowd.concentration * probabilities[part])
        reached = volunteers if parent is None else int(votes[parent])
        votes[part] = rng.multinomial(reached, chances)
    return votes
