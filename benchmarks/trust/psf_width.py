"""How often does the check of the PSF find a wrong one, and how often does it err? The table of it.

Draws fields of galaxies with and without stars through the PSF of F160W mosaics, and compares them
with that PSF, with wider and with narrower ones (`galadapt.prediction.psf_check`). Galaxies and
stars come from a pool, each field has noise of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import scenes

from galadapt.config.simulation import Noise
from galadapt.core.files import expand, write_csv
from galadapt.core.photometry import flux_of
from galadapt.prediction.psf_check import Cores, verdict
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve

#: Side of the square of each object [px], and objects in a row of a field.
CELL, ROW = 64, 8

#: Effective radii of the galaxies [arcsec], log-uniform: as large as those of a survey, and those
#: of a population so compact that many are hardly resolved.
RADII = {"galaxies": (0.1, 0.6), "compact": (0.03, 0.3)}

#: Magnitudes of galaxies and of stars.
GALAXIES, STARS = (19.0, 24.5), (18.5, 22.0)

#: Galaxies of a pool.
POOL = 250

#: Fields: stars, galaxies, and which.
FIELDS = {
    "no stars": (0, 50, "galaxies"),
    "no stars, compact": (0, 50, "compact"),
    "4 stars": (4, 40, "galaxies"),
    "4 stars, compact": (4, 40, "compact"),
    "8 stars": (8, 40, "galaxies"),
    "20 stars, compact": (20, 40, "compact"),
}

#: Widths of the PSFs given over that of the images.
WIDTHS = (1.0, 1 / 1.2, 1.2)


@dataclass
class Pixels:
    """An image in memory, as `Cores.of_image` reads one."""

    data: np.ndarray
    weight: np.ndarray
    pixel_scale: float = scenes.SCALE  #: [arcsec/px]
    path: Path = Path("field")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ny, nx = self.data.shape
        return ny, nx

    def read(self, y0: int, y1: int, x0: int, x1: int) -> tuple[np.ndarray, np.ndarray]:
        """Data and weight of a box."""
        return self.data[y0:y1, x0:x1], self.weight[y0:y1, x0:x1]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="$GALADAPT_DATA", help="folder with psf/")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/trust"))
    parser.add_argument("--fields", type=int, default=100, help="of each kind")
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    psf = scenes.psf_on_sky(expand(options.data) / "psf" / "hst_wfc3_f160w_060mas.fits")
    table = measured(psf, options.fields, options.seed)
    write_csv(options.output / "psf_width.csv", table)
    table["said"] = np.where(table["disagrees"], 1.0, 0.0)
    shares = table.pivot_table("said", ["field", "noise"], "psf", sort=False)
    print("share of fields whose PSF is called another one, by its width over the right one:")
    print(shares.to_string(float_format="{:.3f}".format))


def measured(psf: galsim.GSObject, fields: int, seed: int) -> pd.DataFrame:
    """One row per field, noise and PSF."""
    given = {width: Cores(psf.dilate(width), scenes.SCALE) for width in WIDTHS}
    transform, star = transformed(psf)
    pools = {
        name: pool(transform, radii, np.random.default_rng([seed, k]))
        for k, (name, radii) in enumerate(RADII.items())
    }
    noise = resolve(Noise())
    rows = []
    for number, (name, (stars, galaxies, kind)) in enumerate(FIELDS.items()):
        for count in range(fields):
            random = np.random.default_rng([seed, 7, number, count])
            clean = field(star, pools[kind], stars, galaxies, random)
            for drop in (0.0, noise.drop):
                levels = NoiseLevels(
                    noise.pixel_rms, noise.exposure_time, drop, source_poisson=True
                )
                data = add_noise(clean, levels, random)
                pixels = Pixels(data, np.full(data.shape, noise.pixel_rms**-2))
                for width, cores in given.items():
                    found = verdict(cores, next(cores.of_image(pixels)))
                    rows.append(
                        {
                            "field": name,
                            "noise": "drizzled" if drop else "white",
                            "psf": round(width, 3),
                            "disagrees": found is not None and found.disagrees,
                            "ratio": np.nan if found is None else found.ratio,
                            "count": 0 if found is None else found.stars,
                        }
                    )
    return pd.DataFrame(rows)


def transformed(psf: galsim.GSObject) -> tuple[np.ndarray, list[np.ndarray]]:
    """Transform of a PSF as `pool` wants it, and stars of 1 e-/s at places between pixels."""
    transform = _transform(psf)
    point = galsim.Gaussian(sigma=1e-3)
    places = [(x / 4, y / 4) for x in range(-2, 2) for y in range(-2, 2)]
    return transform, [_drawn(point, transform, x, y) for x, y in places]


def pool(
    psf: np.ndarray, radii: tuple[float, float], random: np.random.Generator
) -> list[np.ndarray]:
    """Galaxies of 1 e-/s through the PSF, (CELL, CELL) each."""
    drawn = []
    for _ in range(POOL):
        q = 1 - random.uniform(0.0, 0.7)
        profile = galsim.Sersic(
            n=float(np.exp(random.uniform(np.log(0.6), np.log(5)))),
            half_light_radius=float(np.exp(random.uniform(*np.log(radii)))) * np.sqrt(q),
        ).shear(q=q, beta=random.uniform(0, 180) * galsim.degrees)
        drawn.append(_drawn(profile, psf, *random.uniform(-0.5, 0.5, 2)))
    return drawn


def _transform(profile: galsim.GSObject) -> np.ndarray:
    """Fourier transform of a profile on a grid of 2 CELL pixels, which folds its far wings."""
    step = 2 * np.pi / (2 * CELL * scenes.SCALE)
    # GalSim's grid of an even number of points begins at minus half of it, as numpy's does.
    return profile.drawKImage(nx=2 * CELL, ny=2 * CELL, scale=step).array


def _drawn(profile: galsim.GSObject, psf: np.ndarray, x: float, y: float) -> np.ndarray:
    """A profile of 1 e-/s through the transform of a PSF, (CELL, CELL), shifted by x, y [px]."""
    seen = psf * _transform(profile.shift(x * scenes.SCALE, y * scenes.SCALE))
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(seen)).real)
    return image[CELL // 2 : -CELL // 2, CELL // 2 : -CELL // 2]


def field(
    star: list[np.ndarray],
    galaxies: list[np.ndarray],
    stars: int,
    count: int,
    random: np.random.Generator,
) -> np.ndarray:
    """A field without noise, one object per cell."""
    image = np.zeros((CELL * ROW, CELL * ROW))
    chosen = random.permutation(len(galaxies))
    for number, cell in enumerate(random.permutation(ROW**2)[: stars + count]):
        if number < stars:
            drawn, limits = star[random.integers(len(star))], STARS
        else:
            drawn, limits = galaxies[chosen[number - stars]], GALAXIES
        flux = float(flux_of(random.uniform(*limits), scenes.ZERO_POINT))
        y, x = CELL * np.array(divmod(int(cell), ROW))
        image[y : y + CELL, x : x + CELL] += flux * drawn
    return image


if __name__ == "__main__":
    main()
