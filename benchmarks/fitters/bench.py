"""galadapt against the profile fitters people use: the same stamps, one core and one thread each.

- clean: single Sersic galaxies, one to a stamp, PSF and sky known to everyone;
- crowded: composite galaxies of a mock survey with neighbours. Everyone is given the training PSF,
  not the survey's broader, varying one (with --own-psf: its mean), and what the extraction left of
  the sky. Truth is the best single Sersic of each galaxy without noise, and flags of the catalogue
  remove nobody.

With the package for any image, the answers refined by the pixels and the network's alone (--fast)
are two methods. Fitters are given 128 px stamps, noise weights, SEP's start values, masks of
neighbours (crowded) and bounds; their time includes SEP. galadapt's is that of its variant chain,
networks, masks (crowded) and refinement, on the middle of the same stamps where it wants smaller
ones. Cutting stamps is in nobody's time. Galaxies lie inside what the network was trained on, for
all methods. A fit that its code calls failed, takes too long or crashes is counted, and left out of
that method's statistics.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import options
import pandas as pd
from conditions import CONDITIONS, make
from running import fit, measure
from tables import FAST, REFERENCE, draw, printed, rows

from galadapt.core.errors import ConfigError
from galadapt.core.files import write_csv
from galadapt.general.package import is_general

FITTERS = ("petrofit", "pyimfit", "statmorph")


def main() -> int:
    """Run the benchmark and write its table and picture."""
    parser = options.parser(__doc__, "fitters.csv")
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("results/runs/galaxies/asinh/transfer/seed1"),
        help="package for any image, prediction package, or run folder (default %(default)s)",
    )
    parser.add_argument("--count", type=int, default=1000, help="stamps per condition")
    parser.add_argument("--fitters", nargs="+", choices=FITTERS, default=FITTERS)
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=CONDITIONS)
    parser.add_argument("--limit", type=float, default=60.0, help="CPU time of one fit [s]")
    parser.add_argument(
        "--own-psf", action="store_true", help="crowded stamps: give everyone the survey's mean PSF"
    )
    parser.add_argument(
        "--python",
        type=Path,
        default=Path(".venv-fitters/bin/python"),
        help="interpreter of the fitters' environment (default %(default)s)",
    )
    return options.carried_out("bench-fitters", run, parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    """Make the stamps, measure them, write and print what came out.

    Raises:
        ConfigError: an option makes no sense.
        DataError: the model is none.
        RunError: galadapt cannot measure the stamps.
    """
    if arguments.limit <= 0:
        raise ConfigError(f"--limit: must be positive, not {arguments.limit:g}; correct it")
    if not arguments.python.is_file():
        raise ConfigError(
            f"--python: {arguments.python} does not exist; run `make bench-fitters`, which makes "
            "the fitters' environment"
        )
    experiment, limits, folder = options.settled(arguments)
    python = Path.cwd() / arguments.python
    tables = []
    for name in arguments.conditions:
        condition = make(
            *(name, experiment, limits, arguments.count, arguments.seed, folder), arguments.own_psf
        )
        stamps = condition.stamps.resolve()
        zero_point = experiment.image.zero_point
        measured = {REFERENCE: measure(arguments.model, stamps, zero_point)}
        if is_general(arguments.model):
            measured[FAST] = measure(arguments.model, stamps, zero_point, fast=True)
        for fitter in arguments.fitters:
            measured[fitter] = fit(
                python,
                fitter,
                stamps,
                arguments.count,
                arguments.limit,
                zero_point,
            )
        tables.append(rows(name, condition.truth, measured, experiment.evaluation))
    table = pd.concat(tables, ignore_index=True)
    write_csv(arguments.output, table)
    # A figure has its values in a table of its own name.
    draw(table, arguments.output.with_name(f"{arguments.output.stem}_nmad.png"))
    print(printed(table))
    text = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in limits.items())
    print(f"\n* best NMAD of the bin (n in dex). Galaxies: {text}.\nTable: {arguments.output}")


if __name__ == "__main__":
    sys.exit(main())
