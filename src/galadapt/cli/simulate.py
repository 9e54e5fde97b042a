"""`galadapt simulate`."""

from __future__ import annotations

import argparse

_EPILOG = """\
columns of the table:
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


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "simulate",
        help="render your own list of galaxies",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG,
    )
    verb.add_argument(
        "--parameters",
        required=True,
        help="CSV, ECSV, FITS, VOTable or Parquet, one galaxy a row; units in it are converted",
    )
    verb.add_argument("--table", help="number or name of the table, if the file holds several")
    verb.add_argument("--psf", default="optical", help="FITS image (pixel included), or optical")
    verb.add_argument(
        "--psf-pixel-scale",
        type=float,
        help="pixel scale of the PSF image [arcsec] (default: its header's, else the stamps')",
    )
    verb.add_argument("--psf-hdu", type=int, default=0, help="number of the PSF's extension")
    verb.add_argument(
        "--noise",
        default="none",
        choices=("none", "wide", "deep", "ultradeep"),
        help="depth of CANDELS (default: %(default)s)",
    )
    verb.add_argument(
        "--renderer",
        default="ktable",
        choices=("ktable", "ktable_jax", "galsim"),
        help="default: %(default)s",
    )
    verb.add_argument("--seed", type=int, default=0, help="seed of the noise")
    verb.add_argument(
        "--radius-convention",
        default="semimajor",
        choices=("semimajor", "circularised"),
        help="convention of the stored radius; that of the list is always the semi-major axis",
    )
    verb.add_argument("--stamp-size", type=int, default=128, help="side of a stamp [px]")
    verb.add_argument(
        "--pixel-scale", type=float, default=0.06, help="pixel scale of the stamps [arcsec]"
    )
    verb.add_argument("--zero-point", type=float, default=25.9463, help="AB magnitude of 1 e-/s")
    verb.add_argument("-o", "--output", required=True, help="stamp set to write (.h5)")
    verb.set_defaults(act=_simulate)


def _simulate(arguments: argparse.Namespace) -> None:
    from galadapt.api import simulate

    names = ("psf", "psf_pixel_scale", "psf_hdu", "noise", "renderer", "seed", "radius_convention")
    image = ("stamp_size", "pixel_scale", "zero_point", "output")
    given = {name: getattr(arguments, name) for name in (*names, *image)}
    with simulate(arguments.parameters, which=arguments.table, **given) as stamps:
        print(f"{arguments.output}: {len(stamps)} stamps (galadapt.StampSet reads them)")
