"""An independent fitter must find the parameters the simulator was given.

Stamps of `galadapt.simulation` are fitted by `galadapt.tasks.galaxies.fitting.sersic`: astropy's
Sersic2D, which shares no code with the renderer. The profile is sampled in real space, five times
finer than the pixels, and convolved with the PSF there. So it closes the loop on every convention:
zero point, semi-major radius, index, ellipticity, position angle, centre.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.config.image import Image, OpticalPsf
from galadapt.config.simulation import LogUniform, Noise, Priors, Simulation, Uniform
from galadapt.core.files import write_csv
from galadapt.simulation.noise import add_noise, resolve
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.simulation.streams import stream
from galadapt.tasks.galaxies.fitting.sersic import SersicFitter

IMAGE = Image(stamp_size=56)
FINE = 5
# Where sampling five times per pixel is exact enough: cusps would need a finer grid.
PRIORS = Priors(
    magnitude=Uniform(low=19, high=21),
    effective_radius=LogUniform(low=3, high=7),
    sersic_index=Uniform(low=0.5, high=2.2),
    ellipticity=Uniform(low=0.1, high=0.7),
)
SEED = 77
COLUMNS = ("magnitude", "effective_radius", "sersic_index", "ellipticity", "position_angle")
COLUMNS += ("x_offset", "y_offset")


def recover(count: int, depth: str, renderer: str = "ktable") -> pd.DataFrame:
    """Simulate and fit galaxies; return fitted minus true values (relative for the radius)."""
    truth = draw_parameters(Simulation(priors=PRIORS), SEED, 0, count)
    psf = make_psf(OpticalPsf(), IMAGE.pixel_scale)
    draw = make_renderer(IMAGE, psf, renderer)
    fitter = SersicFitter(psf, IMAGE.stamp_size, IMAGE.pixel_scale, IMAGE.zero_point, FINE)
    levels = resolve(Noise(depth=depth))
    rng = np.random.default_rng(SEED)
    errors = []
    for index, row in enumerate(truth.to_dict("records")):
        clean = draw.render(row)
        stamp = add_noise(clean, levels, stream(SEED, index, "noise"))
        sigma = np.sqrt(levels.pixel_rms**2 + np.clip(clean, 0, None) / levels.exposure_time)
        guess = {
            "effective_radius": row["effective_radius"] * rng.uniform(0.7, 1.4),
            "sersic_index": 1.2,
            "ellipticity": np.clip(row["ellipticity"] + rng.uniform(-0.1, 0.1), 0.05, 0.8),
            "position_angle": row["position_angle"] + rng.uniform(-15, 15),
        }
        if depth == "none":
            sigma = 1e-3
        found = fitter.fit(stamp, sigma, guess)
        difference = {name: found[name] - row[name] for name in COLUMNS}
        difference["effective_radius"] /= row["effective_radius"]
        difference["position_angle"] = (difference["position_angle"] + 90) % 180 - 90
        errors.append(difference)
    return pd.DataFrame(errors)


def main() -> None:
    """Fit 50 noiseless and 200 noisy stamps; write and print mean errors and their uncertainty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/recovery.csv"))
    parser.add_argument("--counts", type=int, nargs=2, default=(50, 200))
    arguments = parser.parse_args()
    rows = []
    for count, depth in zip(arguments.counts, ("none", "wide"), strict=True):
        errors = recover(count, depth)
        for name in COLUMNS:
            values = errors[name]
            uncertainty = values.std(ddof=1) / np.sqrt(count)
            rows.append({"noise": depth, "stamps": count, "parameter": name})
            rows[-1] |= {"mean_error": values.mean(), "uncertainty": uncertainty}
            rows[-1] |= {"scatter": values.std(ddof=1), "largest": values.abs().max()}
    table = pd.DataFrame(rows)
    write_csv(arguments.output, table)
    print(table.to_string(index=False, float_format="{:.2e}".format))


if __name__ == "__main__":
    main()
