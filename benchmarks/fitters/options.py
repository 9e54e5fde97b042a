"""What both programs are given: the model, the stamps to make, and where results go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from conditions import ranges, without_drizzling
from network import training_ranges

from galadapt.core.errors import ConfigError, GaladaptError
from galadapt.core.log import to_stderr
from galadapt.tasks.galaxies.settings import Config
from galadapt.tasks.reading import load


def parser(description: str | None, output: str) -> argparse.ArgumentParser:
    """Parser with the options of both programs; `output` is the default of its table."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--config",
        nargs="+",
        default=["config/config.yaml"],
        help="configuration of the network, later files over earlier (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=5021, help="of the stamps")
    parser.add_argument("--white", action="store_true", help="no drizzling: clean stamps' noise")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks", output))
    return parser


def settled(
    arguments: argparse.Namespace,
) -> tuple[Config, dict[str, tuple[float, float]], Path]:
    """Configuration of the stamps, ranges of their galaxies, and the folder to keep them in.

    Raises:
        ConfigError: the configuration or the model makes no sense.
        DataError: the model is none.
    """
    config = load(*arguments.config)
    if arguments.white:
        config = without_drizzling(config)
    limits = ranges(config, training_ranges(arguments.model))
    return config, limits, arguments.output.with_suffix("")


def carried_out(
    name: str, run: Callable[[argparse.Namespace], None], arguments: argparse.Namespace
) -> int:
    """Run a program: its exit code; errors, as too few stamps, are printed in a sentence."""
    to_stderr()
    try:
        if arguments.count < 10:
            raise ConfigError(f"--count: {arguments.count} stamps say nothing; give at least 10")
        run(arguments)
    except GaladaptError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
