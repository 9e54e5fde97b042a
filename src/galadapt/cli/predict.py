"""`galadapt predict`, `galadapt fit-check` and `galadapt configure`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from galadapt.core.errors import ConfigError, RunError
from galadapt.prediction.flags import Flag

if TYPE_CHECKING:
    from galadapt.prediction.arguments import Inputs


#: Maps that may come with images.
_MAPS = {
    "weight": "inverse variance",
    "rms": "noise (1 sigma)",
    "variance": "square of the noise",
    "exposure": "exposure time or relative weight",
    "mask": "non-zero where bad",
}


class _Groups:
    """Add options to a verb's groups, in the order of its help; empty ones are not shown."""

    def __init__(self, verb: argparse.ArgumentParser) -> None:
        def add(title: str) -> Callable[..., argparse.Action]:
            return verb.add_argument_group(title).add_argument

        self.measured = add("what is measured (one of the first three)")
        self.images = add("the images")
        self.maps = add("maps, one per image")
        self.networks = add("the networks")
        self.votes = add("task votes")
        self.output = add("output")
        self.others = add("further options")


def _flag_help() -> str:
    lines = [f"  {int(flag):>6}  {flag.label:<20} {flag.meaning}" for flag in Flag]
    return "\n".join(["bits of the column flags:", *lines])


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line."""
    verb = verbs.add_parser(
        "predict",
        help="measure galaxies with a trained network",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_flag_help(),
    )
    to = _Groups(verb)
    _add_inputs(to)
    to.output("--level", type=float, default=0.68, help="coverage of the errors (default 0.68)")
    to.networks(
        "--members", type=int, help="number of the package's networks to run (default: all)"
    )
    to.networks(
        "--fast",
        action="store_true",
        help="leave out the refinement by the pixels (package for any image)",
    )
    to.others(
        "--population",
        action="store_true",
        help="re-weight radii and indices to the population of the catalogue itself (package for "
        "any image)",
    )
    to.output("--plot", type=Path, help="PNG of image, model and residual of a sample")
    to.output("--plot-count", type=int, default=12, help="objects on the plot")
    to.output(
        "--recalibration",
        type=Path,
        help="file of factors that enlarge the errors, written by fit-check --recalibrate",
    )
    to.output(
        "--report", type=Path, help="HTML page: table, pictures, distributions, what to distrust"
    )
    to.votes(
        "--crop",
        type=float,
        help="votes: central share of the images' sides (default: as in training)",
    )
    to.votes(
        "--volunteers",
        type=int,
        help="votes: include the scatter of this number of volunteers in the errors",
    )
    to.output("-o", "--output", type=Path, required=True, help=".fits .csv .parquet .vot")
    verb.set_defaults(act=partial(_predict, verb))

    verb = verbs.add_parser(
        "fit-check", help="compare a network with a profile fit, on your images"
    )
    to = _Groups(verb)
    _add_inputs(to)
    to.others("--sample", type=int, default=100, help="objects to fit, chosen at random")
    to.others("--seed", type=int, default=0, help="seed of the sample")
    to.output("--plot", type=Path, help="PNG of fitted against predicted values")
    to.output(
        "--recalibrate", type=Path, help="JSON of factors that enlarge the errors on these images"
    )
    to.output("-o", "--output", type=Path, required=True, help="CSV, a row per bin")
    verb.set_defaults(act=_fit_check)
    _add_configure(verbs)


def _add_configure(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser(
        "configure", help="write the experiment that trains networks for your image"
    )
    to = _Groups(verb)
    _add_image(to)
    to.output("-o", "--output", type=Path, required=True, help="YAML of the experiment")
    verb.set_defaults(act=_configure)


def _add_inputs(to: _Groups) -> None:
    to.networks(
        "--model",
        type=Path,
        help="folder of a prediction package, or name of a fetched one (default: the one for any "
        "image that galadapt ships with)",
    )
    to.networks(
        "--models", type=Path, help="folder of packages, of which the newest is used instead"
    )
    to.measured(
        "--cutouts",
        type=Path,
        nargs="+",
        default=[],
        help="images of one object each, or a folder of them",
    )
    to.measured("--stamps", type=Path, help="stamp set of galadapt (.h5)")
    _add_image(to)
    to.measured(
        "--fill",
        action="store_true",
        help="enlarge cutouts that are smaller than a stamp, with noise like theirs",
    )
    to.others(
        "--max-bad-fraction",
        type=float,
        help="share of bad pixels up to which an object is measured (default 0.1)",
    )
    to.others("--processes", type=int, default=1, help="number of processes that cut out stamps")


def _add_image(to: _Groups) -> None:
    """Add the options that describe an image."""
    to.measured(
        "--images",
        type=Path,
        nargs="+",
        default=[],
        help="FITS images; these, maps and PSF may name an extension: 'file.fits[WHT]'",
    )
    for kind, what in _MAPS.items():
        to.maps(f"--{kind}", type=Path, nargs="+", default=[], help=f"{what}, per image or cutout")
    to.others(
        "--mask-good",
        action="store_true",
        help="non-zero in --mask marks good pixels, not bad ones",
    )
    to.others(
        "--bad-bits",
        type=_bits,
        help="bits of the mask or DQ extension that mean bad, such as 4+16 (default: the "
        "instrument's own); 0 ignores DQ",
    )
    to.others("--table", help="number or name of the table, if the catalogue's file holds several")
    to.measured("--catalog", type=Path, help="positions; without it sources are detected")
    to.measured(
        "--columns",
        nargs="+",
        default=[],
        metavar="NAME=COLUMN",
        help="columns of the catalogue, such as ra=RA_J2000",
    )
    to.measured(
        "--units",
        nargs="+",
        default=[],
        metavar="NAME=UNIT",
        help="units of these columns, such as ra=hourangle",
    )
    to.measured("--one-based", action="store_true", help="x and y count pixels from 1")
    to.images("--psf", type=Path, help="FITS image of the PSF, pixel included")
    to.images(
        "--psf-from-stars",
        type=Path,
        metavar="FITS",
        help="make the PSF from stars in the image, or fit that of --psf to them, write it to this "
        "file and use it",
    )
    to.images(
        "--psf-pixel-scale",
        type=float,
        help="pixel scale of the PSF image [arcsec] (default: its header's, else the images')",
    )
    to.others(
        "--psf-hdu", type=int, help="number of the PSF's extension, if its file holds several"
    )
    to.images(
        "--zero-point",
        type=float,
        help="AB magnitude of 1 image unit; of 1 count/s where counts are divided by the exposure",
    )
    to.images("--unit", help="unit of the pixels, if BUNIT is missing or wrong")
    to.images(
        "--native-pixel-scale",
        "--pixel-scale",
        type=float,
        help="pixel scale of images without WCS [arcsec]",
    )
    to.images("--hdu", help="number or name of the images' extension, if their paths name none")


def _bits(text: str) -> int:
    """Sum of bits from text such as 4+16, 4,16 or 20."""
    return sum({int(word, 0) for word in text.replace(",", "+").split("+")})


def _inputs(arguments: argparse.Namespace) -> Inputs:
    """Read the options of `_add_inputs`, or of `_add_image` alone: most have the fields' names."""
    from galadapt.core.files import extension_of
    from galadapt.prediction.arguments import Inputs

    given = vars(arguments)
    names = ("zero_point", "unit", "native_pixel_scale", "bad_bits")
    options = {
        **{name: given[name] for name in names},
        "hdu": extension_of(arguments.hdu) if arguments.hdu else None,
        "invert_mask": arguments.mask_good or None,
    }
    known = {
        **{field.name: given[field.name] for field in fields(Inputs) if field.name in given},
        "columns": _pairs(arguments.columns, "--columns", "ra=RA"),
        "units": _pairs(arguments.units, "--units", "ra=hourangle"),
        "one_based": arguments.one_based or None,
        "maps": {kind: given[kind] for kind in _MAPS},
        "options": {name: value for name, value in options.items() if value is not None},
    }
    return Inputs(**known)


def _package(arguments: argparse.Namespace) -> Path:
    from galadapt.prediction.fetched import locate
    from galadapt.prediction.package import newest_package

    return newest_package(arguments.models) if arguments.models else locate(arguments.model)


def _pairs(given: list[str], option: str, example: str) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equal, value = text.partition("=")
        if not (name and equal and value):
            raise ConfigError(f"{option}: '{text}' is not NAME=VALUE; write {example}, for example")
        pairs[name] = value
    return pairs


def _predict(verb: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.model is not None and arguments.model.is_dir():
        from galadapt.tasks.votes.runs import runs_in

        runs = runs_in(arguments.model)
        if runs:
            _predict_votes(verb, arguments, runs)
            return
    from galadapt.prediction.predict import predict

    model, inputs = _package(arguments), _inputs(arguments)
    for name in ("crop", "volunteers"):
        if getattr(arguments, name) is not None:
            raise ConfigError(f"--{name}: belongs to models of votes; leave it out")
    table = predict(
        model,
        inputs,
        arguments.output,
        level=arguments.level,
        members=arguments.members,
        plot=arguments.plot,
        plot_count=arguments.plot_count,
        fast=arguments.fast,
        population=arguments.population,
        report=arguments.report,
        recalibration=arguments.recalibration,
    )
    if bool((table["flags"] & int(Flag.NO_STAMP)).all()):
        raise RunError(
            f"{arguments.output}: none of {len(table)} objects was measured; read its column reason"
        )


def _predict_votes(
    verb: argparse.ArgumentParser, arguments: argparse.Namespace, runs: list[Path]
) -> None:
    from galadapt.tasks.votes.measure import measure_votes

    # What belongs to the measurement of galaxies would be ignored without a word.
    usable = {"verb", "act", "model", "images", "output", "crop", "volunteers"}
    for name, value in vars(arguments).items():
        if name not in usable and value != verb.get_default(name):
            raise ConfigError(f"--{name.replace('_', '-')}: has no meaning for votes; leave it out")
    measure_votes(
        runs,
        arguments.images,
        arguments.output,
        crop=arguments.crop,
        volunteers=arguments.volunteers,
    )


def _fit_check(arguments: argparse.Namespace) -> None:
    from galadapt.tasks.galaxies.fitting.check import fit_check

    model, inputs = _package(arguments), _inputs(arguments)
    fit_check(
        model,
        inputs,
        arguments.output,
        arguments.sample,
        arguments.seed,
        plot=arguments.plot,
        recalibrate=arguments.recalibrate,
    )


def _configure(arguments: argparse.Namespace) -> None:
    from galadapt.tasks.galaxies.configure import configure

    configure(_inputs(arguments), arguments.output)
