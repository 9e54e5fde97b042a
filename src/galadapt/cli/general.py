"""`galadapt general`: train and release the network for any image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from galadapt.core.errors import ConfigError

if TYPE_CHECKING:
    from galadapt.general.train import Trainer


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("general", help="train and release the network for any image")
    steps = verb.add_subparsers(dest="step", required=True)
    step = steps.add_parser("train", help="train, or continue a training, on fresh simulations")
    step.add_argument("recipe", type=Path, help="settings (config/general.yaml)")
    step.add_argument("-o", "--output", type=Path, required=True, help="folder of the training")
    step.add_argument("--cpu-minutes", type=float, help="stop after this time of one core")
    step.add_argument("--steps", type=int, help="stop after this number of steps")
    step.set_defaults(act=_train)
    step = steps.add_parser("end", help="finish a training with a learning rate that falls to 0")
    step.add_argument("recipe", type=Path, help="settings of the training")
    step.add_argument("-o", "--output", type=Path, required=True, help="folder of the training")
    step.set_defaults(act=_end)
    step = steps.add_parser("release", help="export, calibrate, test and package a training")
    step.add_argument("recipe", type=Path, help="settings of the training")
    step.add_argument("--training", type=Path, required=True, help="folder of the training")
    step.add_argument("-o", "--output", type=Path, required=True, help="folder of the package")
    step.add_argument("--sets", type=int, default=20, help="sets of 512 galaxies of each test")
    step.add_argument("--licence", default="BSD-3-Clause", help="licence of the package")
    step.add_argument("--citation", default="the galadapt developers", help="what to cite")
    step.set_defaults(act=_release)


def _trainer(recipe: Path, folder: Path) -> Trainer:
    from galadapt.config.training import Compute
    from galadapt.general.recipe import read_recipe
    from galadapt.learners.keras import backend

    settings = read_recipe(recipe)
    backend.prepare(Compute())
    # Keras must not be imported before its backend is chosen.
    from galadapt.general.train import Trainer

    return Trainer(settings, folder)


def _train(arguments: argparse.Namespace) -> None:
    for name in ("cpu_minutes", "steps"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option}: must be positive, not {value:g}; correct it")
    minutes = arguments.cpu_minutes
    if minutes is None and arguments.steps is None:
        raise ConfigError("give --cpu-minutes or --steps: a training has no end of its own")
    trainer = _trainer(arguments.recipe, arguments.output)
    trainer.run(arguments.steps, None if minutes is None else 60 * minutes)


def _end(arguments: argparse.Namespace) -> None:
    trainer = _trainer(arguments.recipe, arguments.output)
    trainer.require_checkpoint()
    trainer.run(None, None, end=True)


def _release(arguments: argparse.Namespace) -> None:
    if arguments.sets < 2:
        raise ConfigError(f"--sets: must be at least 2, not {arguments.sets}; correct it")
    trainer = _trainer(arguments.recipe, arguments.training)
    trainer.require_checkpoint()
    from galadapt.general.release import release

    release(
        trainer.ended(),
        trainer.settings,
        trainer.progress,
        arguments.output,
        arguments.sets,
        arguments.licence,
        arguments.citation,
    )
