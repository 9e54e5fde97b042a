"""Pseudo-labels: what trained networks say of survey stamps, where they agree.

A network learns its own answers on the survey (Lee 2013), which adapts it to the survey's images
without a label. Wrong answers would be learned as well, so only those are taken on which all seeds
of the start agree in all orientations of a stamp (a deep ensemble: Lakshminarayanan et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from galadapt.answers import registry as targets
from galadapt.answers.numbers.answer import Numbers
from galadapt.config.training import SelfTraining
from galadapt.core.errors import DataError
from galadapt.core.files import read_json
from galadapt.core.log import log
from galadapt.learners.keras import networks
from galadapt.learners.keras.data import Examples
from galadapt.learners.orientations import COUNT, oriented


def pseudo_labelled(
    part: Examples, teachers: Sequence[Path], target: Numbers, settings: SelfTraining, label: str
) -> Examples:
    """Give survey stamps the teachers' labels where these agree best.

    Args:
        part: Training stamps of the survey, their labels hidden.
        teachers: model.keras of each seed of the start, its run.json beside it.
        target: What is learned, fitted.
        settings: How many are kept.
        label: Name of the run, for messages.

    Returns:
        The same stamps; labels are the mean over teachers and orientations for the share `keep`
        whose answers scatter least (root mean square over standardised parameters), NaN elsewhere.

    Raises:
        DataError: no teacher was given, or one learned something else.
    """
    if not teachers:
        raise DataError(f"{label}: self_training was given no network to learn from")
    answers = np.stack([_answers(path, part, target) for path in teachers])
    mean = answers.mean(axis=(0, 1))
    scatter = np.sqrt(answers.var(axis=(0, 1)).mean(axis=1))
    kept = np.argsort(scatter, kind="stable")[: max(1, round(settings.keep * len(part)))]
    labels = np.full_like(part.labels, np.nan)
    labels[kept] = target.fit.inverse(mean[kept])
    log.info(
        f"{label}: {len(kept)} of {len(part)} survey stamps learn the answers of "
        f"{len(teachers)} networks, which scatter by {np.median(scatter[kept]):.3f} (all: "
        f"{np.median(scatter):.3f}) of the simulated range's standard deviation"
    )
    return replace(part, labels=labels)


def _answers(path: Path, part: Examples, target: Numbers) -> np.ndarray:
    """Standardised answers of one network in all 8 orientations, (8, n, parameters)."""
    run = path.parent / "run.json"
    own = targets.of_run(read_json(run), run)
    model = networks.load(path)
    if not isinstance(own, Numbers) or own.names != target.names:
        raise DataError(f"{run}: learned something else than {', '.join(target.names)}")
    if model.input_shape[1] != part.images.shape[1]:
        raise DataError(
            f"{path}: was trained on stamps of {model.input_shape[1]} px, not of "
            f"{part.images.shape[1]} px; learn from a run of the same variant"
        )
    found = []
    for orientation in range(COUNT):
        # Copied, because backends do not take reversed strides.
        turned = np.ascontiguousarray(oriented(part.images, orientation))
        said = networks.predict(model, turned)
        found.append(target.transform(own.fit.inverse(said)))
    return np.stack(found)
