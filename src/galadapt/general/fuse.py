"""Training of the learner that fuses the network's answer with its refinement by the pixels."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from galadapt.config.general import General
from galadapt.config.survey import Extraction
from galadapt.core.random import generator
from galadapt.cutouts.neighbours import shape_of
from galadapt.fitting.fusion import DISAGREE, Answers, Fusion, answers, train
from galadapt.fitting.noise import correlation_of
from galadapt.fitting.refine import Refined
from galadapt.general import run
from galadapt.general.package import Calibration, calibrated
from galadapt.general.parameters import SIDE, with_ellipticity
from galadapt.general.refined import profile_of, refiner_of
from galadapt.general.simulate import Stamps, drawn, joined

#: Seeds of the galaxies that the fusion is trained on, that its errors are calibrated on, and that
#: it is tested on.
SEEDS = {"fusion": 9303, "fusion_errors": 9505, "fusion_test": 9404}

#: Users' PSFs are not quite those of their images: such a share of those given here is wider or
#: narrower than the true one, by a factor of this scatter in its logarithm.
_PSF_WRONG, _PSF_ERROR = 0.3, 0.06

#: Share of galaxies with a bulge and a disc at least: more than a network needs to learn from.
_COMPOSITE = 0.35

#: Share of clean galaxies whose answers agree, by definition.
_AGREE = 0.995

_PURPOSE = 0x6E10  #: of the random errors of PSFs


class Both(NamedTuple):
    """Simulated galaxies, the network's answers and their refinements."""

    given: Answers
    covariance: np.ndarray  #: of the refinement (n, 7, 7)
    tension: np.ndarray  #: between both answers (n,)
    truth: np.ndarray  #: (n, 8): the parameters and the ellipticity
    crowded: np.ndarray
    composite: np.ndarray


def unmasked(images: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Valid pixels (n, S, S) without those of detected neighbours, as `galadapt predict` masks."""
    extraction = Extraction()
    found = valid.copy()
    for row, image in enumerate(images):
        found[row] &= ~shape_of(image, 1.0, (0.0, 0.0), extraction).neighbours
    return found


def both(measured: run.Measured, stamps: Stamps, valid: np.ndarray) -> Both:
    """Refine what the network measured on simulated stamps, which are in units of their noise."""
    noise, width = np.ones((2, len(valid)))
    groups: list[np.ndarray] = []
    parts: list[Refined] = []
    for number in np.unique(stamps.psf_index):
        rows = np.flatnonzero(stamps.psf_index == number)
        # Stamps of a PSF share their noise's correlation: one below the other they are an image.
        shown = stamps.images[rows].reshape(-1, SIDE)
        correlation = correlation_of(shown, valid[rows].reshape(-1, SIDE))
        refiner = refiner_of(stamps.psfs[number], correlation)
        found = refiner(
            *(stamps.images[rows], noise[rows]),
            *(measured.theta[rows], measured.covariance[rows], valid[rows]),
        )
        parts.append(found)
        groups.append(rows)
        width[rows] = refiner.width
    order = np.argsort(np.concatenate(groups))
    refined = Refined(*(array[order] for array in joined(parts)))
    share = valid.mean(axis=(1, 2))
    return Both(
        answers(measured.values, measured.errors, refined, noise, share, width),
        *(refined.covariance, refined.tension),
        *(with_ellipticity(stamps.theta), stamps.crowded, stamps.composite),
    )


def _misjudged(psf: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A PSF (S, S) as a user might give it: its width may be off."""
    wrong, factor = rng.random() < _PSF_WRONG, np.exp(_PSF_ERROR * rng.standard_normal())
    if not wrong:
        return psf
    shown = (
        profile_of(psf)
        .dilate(factor)
        .drawImage(nx=SIDE, ny=SIDE, scale=1.0, method="no_pixel", dtype=float)
    )
    return np.asarray(shown.array / shown.array.sum(), np.float32)


def sample(
    network: run.Network,
    recipe: General,
    calibration: Calibration,
    seed: int,
    sets: int,
    plain: bool = True,
) -> Both:
    """Measure and refine galaxies that the recipe draws with a seed, each used once.

    Unless they are `plain`, more of the galaxies are composite, and some PSFs are not quite right.
    """
    share = recipe.draws.composite
    share = share if plain else max(share, _COMPOSITE)
    found = []
    for number, stamps in enumerate(drawn(recipe, seed, sets, composite=share)):
        given = stamps.psfs
        if not plain:
            rng = generator(seed, _PURPOSE, number)
            given = np.stack([_misjudged(psf, rng) for psf in given])
        noise = np.ones(len(stamps.images))
        valid = unmasked(stamps.images, stamps.valid)
        measured = run.measure(network, stamps.images, valid, noise, given, stamps.psf_index)
        measured = calibrated(measured, noise, calibration)
        found.append(both(measured, stamps._replace(psfs=given), valid))
    first, *rest = zip(*found, strict=True)
    return Both(joined(first), *map(np.concatenate, rest))


def fusion_of(
    network: run.Network, recipe: General, calibration: Calibration, sets: int
) -> tuple[Fusion, Both]:
    """Train the fusion of a network and its refinement; with plain galaxies to test it on.

    It is trained on 2 `sets`, calibrated on plain galaxies of one, and tested on as many.
    """
    train_on = sample(network, recipe, calibration, SEEDS["fusion"], 2 * sets, plain=False)
    errors = sample(network, recipe, calibration, SEEDS["fusion_errors"], sets)
    test = sample(network, recipe, calibration, SEEDS["fusion_test"], sets)
    clean = ~test.crowded & ~test.composite & np.isfinite(test.tension)
    limit = float(np.quantile(test.tension[clean], _AGREE)) if clean.any() else DISAGREE
    fusion = train(train_on.given, train_on.truth).calibrated(errors.given, errors.truth)
    # Never below what independent answers differ by.
    return dataclasses.replace(fusion, disagree=max(limit, DISAGREE)), test
