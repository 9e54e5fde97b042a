"""How many cores that are alike prove that they are stars? The table of it.

Measures cores of galaxies, without any star, and draws samples of them as small and large fields
have them: in which share of the samples does the choice of stars
(`galadapt.prediction.point_sources`) find some, if two, three or four alike cores are enough, and
how much too wide would the PSF be?
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import galsim
import numpy as np
import pandas as pd
import psf_width
import scenes

from galadapt.config.simulation import Noise
from galadapt.core.files import expand, write_csv
from galadapt.prediction import point_sources
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve

#: FWHM of a second PSF, of the ground [arcsec], beside that of F160W mosaics.
GROUND = 0.27

#: Galaxies of a sample, and numbers of alike cores that may be enough.
GALAXIES, ENOUGH = (4, 8, 16, 32, 64), (2, 3, 4)

#: Fields that cores are measured in, and galaxies of each.
FIELDS, IN_A_FIELD = 24, 60


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="$GALADAPT_DATA", help="folder with psf/")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/trust"))
    parser.add_argument("--samples", type=int, default=400, help="of each kind")
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    f160w = scenes.psf_on_sky(expand(options.data) / "psf" / "hst_wfc3_f160w_060mas.fits")
    ground = galsim.Convolve(galsim.Moffat(beta=3.0, fwhm=GROUND), galsim.Pixel(scenes.SCALE))
    rows = []
    for name, psf in {"F160W": f160w, "ground": ground}.items():
        for radii in psf_width.RADII:
            cores = measured(psf, radii, options.seed)
            rows += sampled(cores, options.samples, options.seed, {"psf": name, "kind": radii})
    table = pd.DataFrame(rows)
    write_csv(options.output / "false_stars.csv", table)
    print("share of samples without a star in which stars are found, and how wide their PSF is:")
    keys = ["psf", "kind", "enough"]
    print(table.pivot_table("found", keys, "galaxies").round(3).to_string())
    print(table.groupby(keys)["width"].median().round(2).to_string())


def measured(psf: galsim.GSObject, radii: str, seed: int) -> pd.DataFrame:
    """Cores of galaxies in units of the PSF, one row each; see `point_sources.COLUMNS`."""
    transform, star = psf_width.transformed(psf)
    random = np.random.default_rng([seed, 0])
    galaxies = psf_width.pool(transform, psf_width.RADII[radii], random)
    noise, cores, found = resolve(Noise()), point_sources.Cores(psf, scenes.SCALE), []
    levels = NoiseLevels(noise.pixel_rms, noise.exposure_time, 0.0, source_poisson=True)
    for number in range(FIELDS):
        random = np.random.default_rng([seed, 1, number])
        data = add_noise(psf_width.field(star, galaxies, 0, IN_A_FIELD, random), levels, random)
        pixels = psf_width.Pixels(data, np.full(data.shape, noise.pixel_rms**-2))
        found += list(cores.of_image(pixels))
    return pd.concat(found, ignore_index=True)


def sampled(
    cores: pd.DataFrame, samples: int, seed: int, about: dict[str, str]
) -> list[dict[str, object]]:
    """Share of samples of cores in which stars are found, and their width over the PSF's."""
    random = np.random.default_rng([seed, 2])
    rows: list[dict[str, object]] = []
    for galaxies in GALAXIES:
        drawn = [
            cores.iloc[random.choice(len(cores), galaxies, replace=False)] for _ in range(samples)
        ]
        for enough in ENOUGH:
            with mock.patch.object(point_sources, "FEWEST", enough):
                found = [point_sources.stars(one, bound=False) for one in drawn]
            widths = [np.exp(one["core_width"].median()) for one in found if len(one)]
            row = {"galaxies": galaxies, "enough": enough, "found": len(widths) / samples}
            rows.append({**about, **row, "width": np.median(widths) if widths else np.nan})
    return rows


if __name__ == "__main__":
    main()
