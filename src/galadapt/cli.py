"""The ``galadapt`` command: thin verbs over the library."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from galadapt import __version__, config, stages
from galadapt.errors import ConfigError, GaladaptError


def _paths(pairs: Sequence[Sequence[str]] | None) -> stages.Paths:
    return stages.Paths({name: [Path(path) for path in paths] for name, *paths in pairs or []})


def _stage(arguments: argparse.Namespace) -> None:
    try:
        job = json.loads(arguments.settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings: not valid JSON ({error})") from None
    stages.run(arguments.name, job, _paths(arguments.input), _paths(arguments.output))


def _check(arguments: argparse.Namespace) -> None:
    checked = config.load(*arguments.files)
    runs = list(checked.runs())
    print(f"{', '.join(arguments.files)}: valid; {len(runs)} training runs")


def _document(arguments: argparse.Namespace) -> None:
    from galadapt.config import document

    for path in document.write(Path(arguments.folder)):
        print(path)


def _modules(arguments: argparse.Namespace) -> None:
    for name in sorted(stages.STAGES):
        if arguments.name in (None, name):
            print(f"{name}: {', '.join(stages.modules(name))}")


def _simulate(arguments: argparse.Namespace) -> None:
    from pydantic import ValidationError

    from galadapt.simulation.user_list import simulate_list

    given = vars(arguments)
    settings = {
        name: given[name]
        for name in ("psf", "noise", "renderer", "seed", "stamp_size", "pixel_scale", "zero_point")
    }
    psf_scale = arguments.psf_pixel_scale or arguments.pixel_scale
    try:
        image = config.Image(
            stamp_size=arguments.stamp_size,
            pixel_scale=arguments.pixel_scale,
            zero_point=arguments.zero_point,
        )
        psf: config.OpticalPsf | config.FitsPsf = config.OpticalPsf()
        if arguments.psf != "optical":
            psf = config.FitsPsf(path=arguments.psf, pixel_scale=psf_scale)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise ConfigError(f"{option}: {first['msg']}; correct it") from None
    if arguments.seed < 0:
        raise ConfigError(f"--seed: must be at least 0, not {arguments.seed}; correct it")
    count = simulate_list(
        parameters=Path(arguments.parameters),
        output=Path(arguments.output),
        image=image,
        psf=psf,
        noise=config.Noise(depth=arguments.noise),
        renderer=arguments.renderer,
        seed=arguments.seed,
        provenance={"settings": settings, "version": __version__},
    )
    print(f"{arguments.output}: {count} stamps")


def _show(arguments: argparse.Namespace) -> None:
    from galadapt.evaluation.compare import console_table

    results = Path(arguments.results)
    print(console_table(results / "tables" / "comparison.csv"))
    print(f"Report: {results / 'report.html'}")


def _track(arguments: argparse.Namespace) -> None:
    checked = config.load(*arguments.files)
    results = Path(checked.results)
    folders = [
        results.joinpath("runs", *map(str, run[:3]), f"seed{run.seed}") for run in checked.runs()
    ]
    stages.run(
        "track",
        stages.settings(checked, "track"),
        stages.Paths(runs=folders),
        stages.Paths(manifest=[results / "tracking" / "manifest.csv"]),
    )


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(prog="galadapt", description=__doc__)
    top.add_argument("--version", action="version", version=f"galadapt {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True)

    verb = verbs.add_parser("stage", help="run one stage of the pipeline")
    verb.add_argument("name", choices=sorted(stages.STAGES))
    verb.add_argument("--settings", required=True, help="the job's settings as JSON")
    for option in ("--input", "--output"):
        verb.add_argument(
            option, nargs="+", action="append", metavar=("NAME", "PATH"), help="a name, its paths"
        )
    verb.set_defaults(act=_stage)

    verb = verbs.add_parser("check", help="validate configuration files, later over earlier")
    verb.add_argument("files", nargs="+")
    verb.set_defaults(act=_check)

    verb = verbs.add_parser("document", help="write the configuration's README.md and schema.json")
    verb.add_argument("folder", nargs="?", default="config")
    verb.set_defaults(act=_document)

    verb = verbs.add_parser("modules", help="list the modules whose edits rerun each stage")
    verb.add_argument("name", nargs="?")
    verb.set_defaults(act=_modules)

    verb = verbs.add_parser("simulate", help="render your own list of galaxies")
    verb.add_argument("--parameters", required=True, help="CSV, FITS or Parquet, one galaxy a row")
    verb.add_argument("--psf", default="optical", help="FITS image (pixel included), or optical")
    verb.add_argument("--psf-pixel-scale", type=float, help="of the FITS image [arcsec]")
    verb.add_argument("--noise", default="none", choices=("none", "wide", "deep", "ultradeep"))
    verb.add_argument("--renderer", default="ktable", choices=("ktable", "ktable_jax", "galsim"))
    verb.add_argument("--seed", type=int, default=0, help="seed of the noise")
    verb.add_argument("--stamp-size", type=int, default=128, help="side of a stamp [px]")
    verb.add_argument("--pixel-scale", type=float, default=0.06, help="of the stamps [arcsec]")
    verb.add_argument("--zero-point", type=float, default=25.9463, help="AB magnitude of 1 e-/s")
    verb.add_argument("-o", "--output", required=True, help="stamp set to write (.h5)")
    verb.set_defaults(act=_simulate)

    verb = verbs.add_parser("show", help="print the comparison table")
    verb.add_argument("results", nargs="?", default="results")
    verb.set_defaults(act=_show)

    verb = verbs.add_parser("track", help="mirror finished runs to MLflow")
    verb.add_argument("files", nargs="*", default=["config/config.yaml"])
    verb.set_defaults(act=_track)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; expected errors become one line and their exit code."""
    parsed = parser().parse_args(arguments)
    try:
        parsed.act(parsed)
    except GaladaptError as error:
        print(f"galadapt: {error}", file=sys.stderr)
        return error.exit_code
    return 0
