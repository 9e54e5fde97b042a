"""How good is the PSF that `--psf-from-stars` makes of few stars? The table of it.

Draws fields of galaxies and up to a dozen stars through the PSF of F160W mosaics and a narrower
one, and makes the PSF of each: of the stars alone, with the PSF of another mosaic of the
instrument, and with that of an ideal telescope (`galadapt.prediction.psf_stars`).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import psf_width
import scenes

from galadapt.config.image import FitsPsf
from galadapt.config.simulation import Noise
from galadapt.core.errors import DataError
from galadapt.core.files import expand, write_csv
from galadapt.prediction.psf_stars import psf_from_stars
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve
from galadapt.simulation.psf import fwhm, make_psf

#: Widths of the images' PSF over that of F160W mosaics (3.1 px); stars of a field, and galaxies.
WIDTHS, STARS, GALAXIES = (1.0, 0.62), (0, 2, 3, 4, 6, 12), 30

#: Side of the images that PSFs are compared in [px].
SIDE = 41


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="$GALADAPT_DATA", help="folder with psf/")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/trust"))
    parser.add_argument("--fields", type=int, default=4, help="of each kind")
    parser.add_argument("--seed", type=int, default=19)
    options = parser.parse_args()
    psf = scenes.psf_on_sky(expand(options.data) / "psf" / "hst_wfc3_f160w_060mas.fits")
    table = measured(psf, options.fields, options.seed)
    write_csv(options.output / "psf_stars.csv", table)
    keys = ["width", "given", "stars"]
    print("share of fields that give a PSF, and medians of its errors:")
    print(table.groupby(keys, sort=False).median(numeric_only=True).round(3).to_string())


def measured(f160w: galsim.GSObject, fields: int, seed: int) -> pd.DataFrame:
    """One row per field and PSF given."""
    pixel = galsim.Pixel(scenes.SCALE)
    optics = galsim.OpticalPSF(lam=1550, diam=2.4, obscuration=0.33)
    given = {
        "none": None,
        "another mosaic's": f160w.dilate(1.25).shear(g1=0.03, g2=0.02),
        "ideal telescope's": galsim.Convolve(optics, pixel),
    }
    noise = resolve(Noise())
    levels = NoiseLevels(noise.pixel_rms, noise.exposure_time, noise.drop, source_poisson=True)
    rows = []
    for width in WIDTHS:
        psf = f160w.dilate(width)
        transform, star = psf_width.transformed(psf)
        galaxies = psf_width.pool(
            transform, psf_width.RADII["galaxies"], np.random.default_rng([seed, 0])
        )
        for count in STARS:
            for number in range(fields):
                random = np.random.default_rng([seed, 1, count, number])
                clean = psf_width.field(star, galaxies, count, GALAXIES, random)
                data = add_noise(clean, levels, random)
                pixels = psf_width.Pixels(data, np.full(data.shape, noise.pixel_rms**-2))
                for name, start in given.items():
                    row = {"width": width, "given": name, "stars": count}
                    rows.append(row | _errors(psf, pixels, start))
    return pd.DataFrame(rows)


def _errors(
    psf: galsim.GSObject, pixels: psf_width.Pixels, given: galsim.GSObject | None
) -> dict[str, float]:
    """Whether a PSF is made, of how many stars, and how it differs from the right one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "psf.fits"
        try:
            used, sampling = psf_from_stars(pixels, path, given)
        except DataError:
            return {"made": 0.0}
        made = make_psf(FitsPsf(path=str(path), pixel_scale=sampling), scenes.SCALE)
    right, found = (
        one.drawImage(nx=SIDE, ny=SIDE, scale=scenes.SCALE, method="no_pixel").array
        for one in (psf, made)
    )
    return {
        "made": 1.0,
        "used": used,
        "width_error": abs(fwhm(made, scenes.SCALE) / fwhm(psf, scenes.SCALE) - 1),
        "light_displaced": float(np.abs(found - right).sum()) / 2,
    }


if __name__ == "__main__":
    main()
