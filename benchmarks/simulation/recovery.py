"""An independent fitter must find the parameters the simulator was given.

Stamps from `galadapt.simulation` are fitted with astropy's Sersic2D and Levenberg-Marquardt. The
fit shares no code with the renderer: the profile is sampled in real space, five times finer than
the pixels, and convolved with the PSF there. So it closes the loop on every convention: zero
point, semi-major radius, index, ellipticity, position angle, centre.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.modeling import Fittable2DModel, Parameter
from astropy.modeling.fitting import TRFLSQFitter
from astropy.modeling.models import Sersic2D
from scipy import fft
from scipy.special import gamma, gammaincinv

from galadapt.config import Image, LogUniform, Noise, OpticalPsf, Priors, Simulation, Uniform
from galadapt.files import write_csv
from galadapt.simulation.noise import add_noise, resolve
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.simulation.streams import stream

IMAGE = Image(stamp_size=56)
FINE = 5
# The PSF's wings count: cut at 31 px they bias the index by 0.1.
PSF_SIDE = 111
PERIOD = fft.next_fast_len(FINE * (IMAGE.stamp_size + PSF_SIDE), real=True)
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


def fine_psf() -> np.ndarray:
    """Transform of the effective PSF, pixel included, sampled `FINE` times per pixel."""
    side = PSF_SIDE * FINE
    psf = make_psf(OpticalPsf(), IMAGE.pixel_scale)
    image = psf.drawImage(
        nx=side, ny=side, scale=IMAGE.pixel_scale / FINE, method="no_pixel", dtype=float
    ).array
    middle = side // 2
    padded = np.zeros((PERIOD, PERIOD))
    padded[:side, :side] = image
    return fft.rfft2(np.roll(padded, (-middle, -middle), axis=(0, 1)))


class SeenSersic(Fittable2DModel):
    """astropy's Sersic2D seen through the PSF; parameters as Sersic2D's."""

    amplitude = Parameter(default=1.0)
    r_eff = Parameter(default=4.0, bounds=(0.5, 30))
    n = Parameter(default=1.0, bounds=(0.3, 6.2))
    x_0 = Parameter(default=0.0)
    y_0 = Parameter(default=0.0)
    ellip = Parameter(default=0.3, bounds=(0.0, 0.95))
    theta = Parameter(default=0.0)
    psf = fine_psf()

    @classmethod
    def evaluate(cls, x, y, amplitude, r_eff, n, x_0, y_0, ellip, theta):
        """Sample finely, convolve, keep the pixel centres (x and y only give the shape)."""
        side = x.shape[0]
        fine = (np.arange(side * FINE) - FINE // 2) / FINE
        columns, rows = np.meshgrid(fine, fine)
        values = (amplitude, r_eff, n, x_0, y_0, ellip, theta)
        scalars = [float(np.asarray(value).ravel()[0]) for value in values]
        sharp = Sersic2D.evaluate(columns, rows, *scalars)
        seen = fft.irfft2(fft.rfft2(sharp, (PERIOD, PERIOD)) * cls.psf, (PERIOD, PERIOD))
        middle = slice(FINE // 2, side * FINE, FINE)
        return seen[middle, middle]


def fit(stamp: np.ndarray, sigma: np.ndarray | float, guess: dict[str, float]) -> dict[str, float]:
    """Fit a stamp; return our parameters.

    Args:
        stamp: (S, S) [e-/s].
        sigma: Its noise.
        guess: Starting values by our names.
    """
    rows, columns = np.indices(stamp.shape, dtype=float)
    centre = (stamp.shape[0] - 1) / 2
    start = SeenSersic(
        amplitude=stamp.max() / 10,
        r_eff=guess["effective_radius"],
        n=guess["sersic_index"],
        x_0=centre,
        y_0=centre,
        ellip=guess["ellipticity"],
        theta=np.radians(guess["position_angle"] + 90),
    )
    inverse = 1 / np.broadcast_to(sigma, stamp.shape)
    best = TRFLSQFitter()(start, columns, rows, stamp, weights=inverse, maxiter=200)
    n, radius, ellipticity = best.n.value, best.r_eff.value, best.ellip.value
    b = gammaincinv(2 * n, 0.5)
    light = 2 * np.pi * n * np.exp(b) * b ** (-2 * n) * gamma(2 * n)
    flux = best.amplitude.value * radius**2 * (1 - ellipticity) * light
    return {
        "magnitude": IMAGE.zero_point - 2.5 * np.log10(flux),
        "effective_radius": radius,
        "sersic_index": n,
        "ellipticity": ellipticity,
        "position_angle": (np.degrees(best.theta.value) - 90) % 180,
        "x_offset": best.x_0.value - centre,
        "y_offset": best.y_0.value - centre,
    }


def recover(count: int, depth: str, renderer: str = "ktable") -> pd.DataFrame:
    """Simulate and fit galaxies; return fitted minus true values (relative for the radius)."""
    truth = draw_parameters(Simulation(priors=PRIORS), SEED, 0, count)
    draw = make_renderer(IMAGE, make_psf(OpticalPsf(), IMAGE.pixel_scale), renderer)
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
        found = fit(stamp, sigma, guess)
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
