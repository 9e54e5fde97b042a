"""Training of the learner that fuses the network's answer with its refinement by the pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from galadapt.config.general import General
from galadapt.config.survey import Extraction
from galadapt.cutouts.neighbours import shape_of
from galadapt.fitting.fusion import Answers, Fusion, answers, train
from galadapt.fitting.noise import correlation_of
from galadapt.fitting.refine import Refined
from galadapt.general import run
from galadapt.general.package import Calibration, calibrated
from galadapt.general.parameters import SIDE
from galadapt.general.refined import refiner_of
from galadapt.general.simulate import Simulator, Stamps

#: Seed of the galaxies that the fusion is trained on, and those that it is tested on.
SEEDS = {"fusion": 9303, "fusion_test": 9404}


class Both(NamedTuple):
    """Simulated galaxies, the network's answers and their refinements."""

    given: Answers
    covariance: np.ndarray  #: of the refinement (n, 7, 7)
    truth: np.ndarray  #: (n, 8): the parameters and the ellipticity
    crowded: np.ndarray
    composite: np.ndarray


def unmasked(images: np.ndarray, valid: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Valid pixels (n, S, S) without those of detected neighbours, as `galadapt predict` masks."""
    extraction = Extraction()
    found = valid.copy()
    for row, image in enumerate(images):
        found[row] &= ~shape_of(image, float(noise[row]), (0.0, 0.0), extraction).neighbours
    return found


def both(measure: run.Measured, stamps: Stamps, valid: np.ndarray) -> Both:
    """Refine what the network measured on simulated stamps, which are in units of their noise."""
    count = len(stamps.theta)
    parts: list[tuple[np.ndarray, Refined]] = []
    for number in np.unique(stamps.psf_index):
        rows = np.flatnonzero(stamps.psf_index == number)
        # Stamps of a PSF share their noise's correlation: one below the other they are an image.
        shown = stamps.images[rows].reshape(-1, SIDE)
        correlation = correlation_of(shown, valid[rows].reshape(-1, SIDE))
        refiner = refiner_of(stamps.psfs[number], correlation)
        found = refiner(
            *(stamps.images[rows], np.ones(len(rows))),
            *(measure.theta[rows], measure.covariance[rows]),
            valid=valid[rows],
        )
        parts.append((rows, found))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    refined = Refined(
        *(
            np.concatenate([getattr(found, name) for _, found in parts])[order]
            for name in Refined.__dataclass_fields__
        )
    )
    given = answers(
        *(measure.theta, measure.covariance, measure.ellipticity, measure.ellipticity_err),
        *(refined, np.ones(count), valid.mean(axis=(1, 2))),
    )
    along = np.hypot(stamps.theta[:, 3], stamps.theta[:, 4])
    truth = np.concatenate([stamps.theta, along[:, None]], axis=1)
    return Both(given, refined.covariance, truth, stamps.crowded, stamps.composite)


def sample(
    network: run.Network, recipe: General, calibration: Calibration, seed: int, sets: int
) -> Both:
    """Measure and refine galaxies that the recipe draws with a seed, each used once."""
    training = recipe.training.model_copy(update={"seed": seed, "passes": 1})
    simulator = Simulator(recipe.model_copy(update={"training": training}))

    def parts() -> Iterator[Both]:
        for stamps in itertools.chain.from_iterable(simulator.batches(k) for k in range(sets)):
            noise = np.ones(len(stamps.images))
            valid = unmasked(stamps.images, stamps.valid, noise)
            measured = run.measure(
                network, stamps.images, valid, noise, stamps.psfs, stamps.psf_index
            )
            yield both(calibrated(measured, noise, calibration), stamps, valid)

    found = list(parts())
    given = Answers(
        *(np.concatenate([getattr(one.given, name) for one in found]) for name in Answers._fields)
    )
    return Both(
        given,
        *(np.concatenate([getattr(one, name) for one in found]) for name in Both._fields[1:]),
    )


def fusion_of(
    network: run.Network, recipe: General, calibration: Calibration, sets: int
) -> tuple[Fusion, Both]:
    """Train the fusion of a network and its refinement; with galaxies to test it on."""
    drawn = sample(network, recipe, calibration, SEEDS["fusion"], sets)
    test = sample(network, recipe, calibration, SEEDS["fusion_test"], max(1, sets // 2))
    return train(drawn.given, drawn.truth), test
