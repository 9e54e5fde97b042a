"""The ``galadapt`` command: thin verbs over the library."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from galadapt import __version__
from galadapt.config.image import FitsPsf, Image, OpticalPsf
from galadapt.config.simulation import Noise
from galadapt.core.errors import ConfigError, GaladaptError, RunError
from galadapt.core.files import external_digest
from galadapt.core.log import to_stderr
from galadapt.pipeline import stages
from galadapt.prediction.command import add_verbs as add_prediction_verbs
from galadapt.prediction.models_command import add_verbs as add_models_verb
from galadapt.tasks.experiment import Downloads
from galadapt.tasks.reading import load

#: Errors of the machine, not of galadapt: no room, no permission.
_OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
)

LIST_HELP = """\
columns of the list:
  id                whole number, unique
  magnitude         total AB magnitude
  effective_radius  semi-major axis of the half-light ellipse [px]
  sersic_index      0.3 to 6.2
  ellipticity       1 - b/a
  position_angle    [deg], from +y (up) counter-clockwise, as GALFIT
  x_offset y_offset of the centre from the stamp's [px]; may be left out

for example:
  id,magnitude,effective_radius,sersic_index,ellipticity,position_angle
  1,20.5,8.0,1.0,0.4,30
  2,22.0,4.5,4.0,0.1,0
"""


def _paths(pairs: Sequence[Sequence[str]] | None) -> stages.Paths:
    return stages.Paths({name: [Path(path) for path in paths] for name, *paths in pairs or []})


def _stage(arguments: argparse.Namespace) -> None:
    try:
        job = json.loads(arguments.settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings: not valid JSON ({error})") from None
    stages.run(arguments.name, job, _paths(arguments.input), _paths(arguments.output))


def _check(arguments: argparse.Namespace) -> None:
    checked = load(*arguments.files)
    external_digest(checked.model_dump(mode="json"))
    runs = list(checked.runs())
    print(f"{', '.join(arguments.files)}: valid; {len(runs)} training runs")


def _document(arguments: argparse.Namespace) -> None:
    from galadapt.tasks import document

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
        image = Image(
            stamp_size=arguments.stamp_size,
            pixel_scale=arguments.pixel_scale,
            zero_point=arguments.zero_point,
        )
        psf: OpticalPsf | FitsPsf = OpticalPsf()
        if arguments.psf != "optical":
            psf = FitsPsf(path=arguments.psf, pixel_scale=psf_scale)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{option}: {message}; correct it") from None
    if arguments.seed < 0:
        raise ConfigError(f"--seed: must be at least 0, not {arguments.seed}; correct it")
    count = simulate_list(
        parameters=Path(arguments.parameters),
        output=Path(arguments.output),
        image=image,
        psf=psf,
        noise=Noise(depth=arguments.noise),
        renderer=arguments.renderer,
        seed=arguments.seed,
        provenance={"settings": settings, "version": __version__},
        radius_convention=arguments.radius_convention,
    )
    print(f"{arguments.output}: {count} stamps (read them with galadapt.stamps.format.StampSet)")


def _show(arguments: argparse.Namespace) -> None:
    results = Path(arguments.results)
    comparison, by_class = (
        results / "tables" / name for name in ("comparison.csv", "by_class.csv")
    )
    if by_class.is_file():
        from galadapt.evaluation.compare_classes import console_table_classes

        print(console_table_classes(comparison, by_class))
    else:
        from galadapt.evaluation.compare import console_table

        print(console_table(comparison))
    print(f"Report: {results / 'report.html'}")


def _track(arguments: argparse.Namespace) -> None:
    checked = load(*arguments.files)
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


def _download(arguments: argparse.Namespace) -> None:
    import tarfile

    from galadapt.sky.downloads import fetch, read_archives, unpack

    archives = read_archives(arguments.archives)
    if arguments.list or not arguments.names:
        for name, members in archives.groups.items():
            print(f"{name}: {', '.join(members)}")
        for name, entry in archives.files.items():
            size = f", {entry.bytes / 1e6:.0f} MB" if entry.bytes else ""
            print(f"{name}: {entry.what}{size}; {entry.citation}; {entry.licence}")
        return
    wanted = {
        member: entry for name in arguments.names for member, entry in archives.named(name).items()
    }
    for entry in wanted.values():
        path = fetch(
            entry,
            Path(arguments.to),
            mirrors=arguments.mirror,
            offline=arguments.offline,
            checksums=Path(arguments.checksums),
        )
        if arguments.unpack and tarfile.is_tarfile(path):
            path = unpack(path, path.with_name(path.name.partition(".tar")[0]))
        print(path)


def _observations(arguments: argparse.Namespace) -> None:
    from galadapt.tasks.screening.products import list_observations

    missing = None if arguments.missing is None else Path(arguments.missing)
    list_observations(Path(arguments.list), Path(arguments.images), Path(arguments.output), missing)


def _prune(arguments: argparse.Namespace) -> None:
    from galadapt.tasks.prune import remove, stale

    checked = load(*arguments.files)
    paths = stale(Path(checked.results), checked)
    for path in paths:
        print(path)
    if arguments.delete:
        remove(paths)
    elif paths:
        print(f"{len(paths)} left by earlier experiments; add --delete to remove them")


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

    verb = verbs.add_parser(
        "simulate",
        help="render your own list of galaxies",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=LIST_HELP,
    )
    verb.add_argument("--parameters", required=True, help="CSV, FITS or Parquet, one galaxy a row")
    verb.add_argument("--psf", default="optical", help="FITS image (pixel included), or optical")
    verb.add_argument("--psf-pixel-scale", type=float, help="of the FITS image [arcsec]")
    verb.add_argument("--noise", default="none", choices=("none", "wide", "deep", "ultradeep"))
    verb.add_argument("--renderer", default="ktable", choices=("ktable", "ktable_jax", "galsim"))
    verb.add_argument("--seed", type=int, default=0, help="seed of the noise")
    verb.add_argument(
        "--radius-convention",
        default="semimajor",
        choices=("semimajor", "circularised"),
        help="of the radius stored as label; the list's is always the semi-major axis",
    )
    verb.add_argument("--stamp-size", type=int, default=128, help="side of a stamp [px]")
    verb.add_argument("--pixel-scale", type=float, default=0.06, help="of the stamps [arcsec]")
    verb.add_argument("--zero-point", type=float, default=25.9463, help="AB magnitude of 1 e-/s")
    verb.add_argument("-o", "--output", required=True, help="stamp set to write (.h5)")
    verb.set_defaults(act=_simulate)

    add_prediction_verbs(verbs)
    add_models_verb(verbs)

    verb = verbs.add_parser("show", help="print the comparison table")
    verb.add_argument("results", nargs="?", default="results")
    verb.set_defaults(act=_show)

    defaults = Downloads()
    verb = verbs.add_parser("download", help="fetch published data: mosaics, catalogues, samples")
    verb.add_argument("names", nargs="*", metavar="NAME", help="a file or a group of the list")
    verb.add_argument("--list", action="store_true", help="say what there is, and stop")
    verb.add_argument("--to", default=defaults.folder, help="folder (default %(default)s)")
    verb.add_argument(
        "--mirror",
        action="append",
        default=[],
        help="folder or base URL tried before the archives; may be repeated",
    )
    verb.add_argument("--offline", action="store_true", help="no network: say what is missing")
    verb.add_argument("--unpack", action="store_true", help="unpack tar archives beside them")
    verb.add_argument("--archives", default=defaults.archives, help="the table of archives")
    verb.add_argument(
        "--checksums",
        default=defaults.checksums,
        help="where first downloads record theirs (default %(default)s)",
    )
    verb.set_defaults(act=_download)

    verb = verbs.add_parser(
        "observations", help="which 4XMM observations have an image here: a table for screening"
    )
    verb.add_argument("list", help="4XMM list of observations (FITS; galadapt download has one)")
    verb.add_argument("--images", required=True, help="folder of EPIC images, named as archived")
    verb.add_argument("--missing", help="CSV to write: where the other images can be fetched")
    verb.add_argument("-o", "--output", required=True, help="CSV to write: image, class, group")
    verb.set_defaults(act=_observations)

    verb = verbs.add_parser("prune", help="list results that the configuration no longer names")
    verb.add_argument("files", nargs="*", default=["config/config.yaml"])
    verb.add_argument("--delete", action="store_true", help="remove them")
    verb.set_defaults(act=_prune)

    verb = verbs.add_parser("track", help="mirror finished runs to MLflow")
    verb.add_argument("files", nargs="*", default=["config/config.yaml"])
    verb.set_defaults(act=_track)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; expected errors become one line and their exit code."""
    parsed = parser().parse_args(arguments)
    to_stderr()
    try:
        parsed.act(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads (`head`, `less`) has seen enough; what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except GaladaptError as error:
        print(f"galadapt: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"galadapt: {where}{error.strerror}; make room or correct the permissions, and run "
            "the command again",
            file=sys.stderr,
        )
        return RunError.exit_code
    except KeyboardInterrupt:
        print("galadapt: interrupted; nothing half-written was left behind", file=sys.stderr)
        return 130
    return 0
