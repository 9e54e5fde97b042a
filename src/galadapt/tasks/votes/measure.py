"""Predict the votes that images would get, and write them as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt import __version__
from galadapt.answers.votes.answer import Votes
from galadapt.answers.votes.distribution import model_variance, moments, sampling_variance
from galadapt.answers.votes.tree import Tree
from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import read_table
from galadapt.core.log import log, progress
from galadapt.learners import run_folder
from galadapt.prediction.catalogue import COLUMNS, Described, check_output, write_catalogue
from galadapt.stamps.preprocess import Rebin, Step, apply_chain, read_steps
from galadapt.tasks.votes.images import is_image, read_image

#: Images in memory at once.
_BATCH = 256

#: Central share of an image's side that becomes the stamp, in the simulations.
CROP = 208 / 424


class Model:
    """Finished runs of one method on votes, whose predictions are averaged."""

    def __init__(self, paths: Sequence[Path], compute: Compute) -> None:
        """Load.

        Args:
            paths: run.json of each.
            compute: Backend and threads.

        Raises:
            DataError: one is broken, does not predict votes, or differs from the first.
        """
        self.runs = [run_folder.load(path, compute) for path in paths]
        for path, run in zip(paths, self.runs, strict=True):
            if not isinstance(run.answer, Votes):
                raise DataError(f"{path}: predicts no votes; name a run of the task votes")
            first = self.runs[0]
            for key in ("variant_steps", "answer", "stamps"):
                if run.record[key] != first.record[key]:
                    raise DataError(
                        f"{path}: differs from {paths[0]} in '{key}'; name runs of one method"
                    )
        self.tree: Tree = self.runs[0].answer.tree  # type: ignore[attr-defined]
        self.steps: list[Step] = read_steps(self.runs[0].record["variant_steps"])
        self._temperatures = [
            _temperatures(path.with_name("temperatures.csv"), self.tree) for path in paths
        ]

    @property
    def side(self) -> int:
        """Side of a stamp before the variant's steps [px]."""
        factors = [step.factor for step in self.steps if isinstance(step, Rebin)]
        return self.runs[0].learner.side * int(np.prod(factors, dtype=int))

    @property
    def crop(self) -> float:
        """Central share of the images' sides that the stamps of the training showed."""
        return float(self.runs[0].record["stamps"].get("crop", CROP))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the parameters of the votes' distributions, (n, K), of (n, side, side, 3)."""
        prepared = apply_chain(images, self.steps, None, "variant")
        found = []
        for run, factors in zip(self.runs, self._temperatures, strict=True):
            parameters = run.answer.alphas(run.outputs(prepared))  # type: ignore[attr-defined]
            found.append(parameters * factors[self.tree.question_of])
        return moments(np.stack(found, axis=1), self.tree)


def _temperatures(path: Path, tree: Tree) -> np.ndarray:
    """Read the temperatures that the evaluation of a run has found, those for the survey."""
    table = read_table(path)
    names = [question.name for question in tree.questions]
    if list(table.get("question", [])) != names:
        raise DataError(f"{path}: has other questions than the run; evaluate the run again")
    factors = np.full(len(names), np.nan)
    if "survey" in table:
        factors = pd.to_numeric(table["survey"], errors="coerce").to_numpy(np.float64)
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise DataError(
            f"{path}: lacks a number above 0 in the column 'survey'; evaluate the run again"
        )
    return factors


def measure_votes(
    runs: Sequence[Path],
    images: Sequence[Path],
    output: Path,
    crop: float | None = None,
    volunteers: int | None = None,
    compute: Compute | None = None,
) -> pd.DataFrame:
    """Write a table of the shares of volunteers who would give each answer.

    Args:
        runs: run.json of every run to average.
        images: Image files, or folders of them.
        output: Table to write: `name`, for every answer its share and the error of the share
            (``<answer>_err``), and `reason` why an image could not be measured ("": it was).
        crop: Central share of the images' sides that becomes the stamp; None: as in training.
        volunteers: The errors are those of the shares of so many volunteers; None: what the model
            does not know, without the scatter of volunteers.
        compute: Backend and threads.

    Returns:
        The table.

    Raises:
        ConfigError: an option cannot be used, or no image was named.
        DataError: a run is broken.
    """
    check_output(output)
    if crop is not None and not 0 < crop <= 1:
        raise ConfigError(f"--crop: {crop:g} is not above 0 and at most 1; correct it")
    if volunteers is not None and volunteers < 1:
        raise ConfigError(f"--volunteers: {volunteers} is below 1; correct it")
    paths = _listed(images)
    model = Model(runs, compute or Compute())
    crop = model.crop if crop is None else crop
    found = np.full((len(paths), len(model.tree.names)), np.nan)
    reasons = [""] * len(paths)
    starts = range(0, len(paths), _BATCH)
    for start in progress(starts, len(starts), "votes", "batches"):
        stamps = {}
        for row, path in enumerate(paths[start : start + _BATCH], start):
            try:
                stamps[row] = read_image(path, model.side, crop)
            except DataError as error:
                reasons[row] = str(error).removeprefix(f"{path}: ")
        if stamps:
            found[list(stamps)] = model.predict(np.stack(list(stamps.values())))
    for row in np.flatnonzero(np.isnan(found).any(axis=1)).tolist():
        reasons[row] = reasons[row] or "no finite prediction"
    table = _table(model.tree, [path.name for path in paths], found, volunteers)
    table["reason"] = reasons
    meanings = {name: Described("", f"share of volunteers: {name}") for name in model.tree.names}
    meanings |= {
        "name": Described("", "file"),
        "reason": Described("", "why it was not measured", COLUMNS["reason"].ucd),
    }
    about = {
        "GA_VERS": __version__,
        "GA_MODEL": ", ".join(
            f"{run.record['method']}/seed{run.record['seed']}" for run in model.runs
        ),
        "GA_DIGST": ", ".join(str(run.record["weights"]) for run in model.runs),
        "GA_CROP": f"{crop:g}",
        "GA_ERROR": "model" if volunteers is None else f"model and {volunteers} volunteers",
    }
    write_catalogue(output, table, about, meanings)
    failed = sum(map(bool, reasons))
    log.info(f"{output}: {len(paths)} images, {len(paths) - failed} measured, {failed} not")
    return table


def _listed(images: Sequence[Path]) -> list[Path]:
    """List image files, those of folders in order.

    Raises:
        ConfigError: a file is missing, or there is none.
    """
    found: list[Path] = []
    for path in images:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if is_image(p.name))
            if not inside:
                raise ConfigError(f"{path}: holds no JPEG, PNG or FITS image")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{path}: no such image; correct --images")
    if not found:
        raise ConfigError("--images: no image was named; name files or a folder")
    return found


def _table(
    tree: Tree, names: Sequence[str], parameters: np.ndarray, volunteers: int | None
) -> pd.DataFrame:
    shares = tree.shares(tree.conditional(parameters))
    variance = model_variance(parameters, tree)
    if volunteers is not None:
        variance = variance + sampling_variance(shares, variance, volunteers)
    unknown = np.isnan(parameters).any(axis=1)
    shares[unknown], variance[unknown] = np.nan, np.nan
    columns: dict[str, object] = {"name": list(names)}
    for column, name in enumerate(tree.names):
        columns[name] = shares[:, column]
        columns[f"{name}_err"] = np.sqrt(variance[:, column])
    return pd.DataFrame(columns)
