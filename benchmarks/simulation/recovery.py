"""An independent fitter must find the parameters the simulator was given.

Stamps of `galadapt.simulation` are fitted by astropy's Sersic2D, which shares no code with the
renderer. The profile is sampled in real space, five times finer than the pixels, and convolved with
the PSF there; where it is steepest, at its centre, each sample is the mean of finer ones. The fit
is astropy's trust-region least squares with numerical derivatives. So it closes the loop
on every convention: zero point, semi-major radius, index, ellipticity, position angle, centre.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pandas as pd
from astropy.modeling import Fittable2DModel, Parameter
from astropy.modeling.fitting import TRFLSQFitter
from astropy.modeling.models import Sersic2D
from scipy import fft
from scipy.special import gamma, gammaincinv

from galadapt.config.image import Image, OpticalPsf
from galadapt.config.simulation import LogUniform, Noise, Priors, Simulation, Uniform
from galadapt.core.errors import RunError
from galadapt.core.files import write_csv
from galadapt.core.photometry import magnitude_of
from galadapt.simulation.noise import add_noise, resolve
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.simulation.streams import stream

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


#: Samples around the centre, in fine pixels, that are means over `_CORE_FINE` squared finer ones.
_CORE, _CORE_FINE = 2, 9

#: A fit has converged when a step is this short, over the length of all parameters: below 0.001.
#: The finer samples move with the centre in jumps, at which shorter steps never end.
_STEP = 1e-5

#: Bounds of the fit.
_BOUNDS = {"r_eff": (0.3, 60.0), "n": (0.25, 8.0), "ellip": (0.0, 0.97)}


class SersicFitter:
    """Fits stamps of one size, seen through one PSF."""

    def __init__(
        self,
        psf: galsim.GSObject,
        side: int,
        pixel_scale: float,
        zero_point: float,
        fine: int = 3,
        psf_side: int = 111,
    ) -> None:
        """Prepare.

        Args:
            psf: Effective PSF, pixel included [arcsec].
            side: Of the stamps [px].
            pixel_scale: Of the stamps [arcsec/px].
            zero_point: AB magnitude of 1 unit of the stamps.
            fine: Samples per pixel and axis; odd.
            psf_side: Side of the PSF's image [px]; its wings count: cut at 31 px they bias the
                F160W index by 0.1.
        """
        self._side, self._fine, self._zero_point = side, fine, zero_point
        long = psf_side * fine
        self._period = fft.next_fast_len(fine * (side + psf_side), real=True)
        image = psf.drawImage(
            nx=long, ny=long, scale=pixel_scale / fine, method="no_pixel", dtype=float
        ).array
        padded = np.zeros((self._period, self._period))
        padded[:long, :long] = image
        self._transform = fft.rfft2(np.roll(padded, (-(long // 2),) * 2, axis=(0, 1)))
        axis = (np.arange(side * fine) - fine // 2) / fine
        self._columns, self._rows = np.meshgrid(axis, axis)
        self._model = _model_class(self)

    def image(self, values: tuple[float, ...]) -> np.ndarray:
        """Draw astropy's Sersic2D (its parameters, its order) as seen: (side, side)."""
        sharp = Sersic2D.evaluate(self._columns, self._rows, *values)
        self._refine(sharp, values)
        shape = (self._period, self._period)
        seen = fft.irfft2(fft.rfft2(sharp, shape) * self._transform, shape)
        middle = slice(self._fine // 2, self._side * self._fine, self._fine)
        drawn: np.ndarray = seen[middle, middle]
        return drawn

    def _refine(self, sharp: np.ndarray, values: tuple[float, ...]) -> None:
        fine = self._fine
        x, y = (round(values[k] * fine) + fine // 2 for k in (3, 4))
        low_x, low_y = max(x - _CORE, 0), max(y - _CORE, 0)
        box = np.s_[low_y : max(y + _CORE + 1, 0), low_x : max(x + _CORE + 1, 0)]
        columns, rows = self._columns[box], self._rows[box]
        if columns.size == 0:
            return
        step = ((np.arange(_CORE_FINE) + 0.5) / _CORE_FINE - 0.5) / fine
        inner = Sersic2D.evaluate(
            columns[..., None, None] + step, rows[..., None, None] + step[:, None], *values
        )
        sharp[box] = inner.mean(axis=(2, 3))

    def fit(
        self,
        stamp: np.ndarray,
        sigma: np.ndarray | float,
        guess: Mapping[str, float],
        most: int = 200,
    ) -> dict[str, float]:
        """Fit a stamp.

        Args:
            stamp: (side, side), background-subtracted.
            sigma: Noise of its pixels.
            guess: Start of effective_radius [px], sersic_index, ellipticity, position_angle [deg].
            most: Evaluations of the model at most.

        Returns:
            magnitude, effective_radius, sersic_index, ellipticity, position_angle, x_offset and
            y_offset.

        Raises:
            RunError: the fit does not converge, or ends at a bound.
        """
        rows, columns = np.indices(stamp.shape, dtype=float)
        centre = (self._side - 1) / 2
        model = self._model(
            amplitude=stamp.max() / 10,
            r_eff=guess["effective_radius"],
            n=guess["sersic_index"],
            x_0=centre,
            y_0=centre,
            ellip=guess["ellipticity"],
            theta=np.radians(guess["position_angle"] + 90),
        )
        weights = 1 / np.broadcast_to(sigma, stamp.shape)
        fitter = TRFLSQFitter()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                best = fitter(model, columns, rows, stamp, weights=weights, maxiter=most, acc=_STEP)
            except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
                raise RunError(f"the profile fit fails ({error}); leave this object out") from None
        if fitter.fit_info.status <= 0:
            raise RunError("the profile fit does not converge; leave this object out")
        n, radius, ellipticity = best.n.value, best.r_eff.value, best.ellip.value
        for name, (low, high) in _BOUNDS.items():
            if name != "ellip" and not low * 1.001 < getattr(best, name).value < high * 0.999:
                raise RunError(
                    f"the profile fit ends at the bound of {name}; leave this object out"
                )
        flux = best.amplitude.value * radius**2 * (1 - ellipticity) * _light(n)
        if not flux > 0:
            raise RunError("the profile fit finds no light; leave this object out")
        return {
            "magnitude": float(magnitude_of(flux, self._zero_point)),
            "effective_radius": float(radius),
            "sersic_index": float(n),
            "ellipticity": float(ellipticity),
            "position_angle": float((np.degrees(best.theta.value) - 90) % 180),
            "x_offset": float(best.x_0.value - centre),
            "y_offset": float(best.y_0.value - centre),
        }


def _light(index: float) -> float:
    """Flux of a circular profile of radius and amplitude 1 (Graham & Driver 2005, eq. 4)."""
    b = gammaincinv(2 * index, 0.5)
    return float(2 * np.pi * index * np.exp(b) * b ** (-2 * index) * gamma(2 * index))


def _model_class(fitter: SersicFitter) -> Any:
    """Sersic2D seen through the PSF as a model for astropy's fitters."""

    class SeenSersic(Fittable2DModel):
        amplitude = Parameter(default=1.0)
        r_eff = Parameter(default=4.0, bounds=_BOUNDS["r_eff"])
        n = Parameter(default=1.0, bounds=_BOUNDS["n"])
        x_0 = Parameter(default=0.0)
        y_0 = Parameter(default=0.0)
        ellip = Parameter(default=0.3, bounds=_BOUNDS["ellip"])
        theta = Parameter(default=0.0)

        @classmethod
        def evaluate(cls, x: np.ndarray, y: np.ndarray, *values: Any) -> np.ndarray:
            return fitter.image(tuple(float(np.asarray(value).ravel()[0]) for value in values))

    return SeenSersic


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
