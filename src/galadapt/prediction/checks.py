"""Checks of a measurement by the pixels it was made from.

A network answers whatever it is given. So the model that its answer describes is drawn through the
images' PSF and compared with the stamp: its light in the detected pixels, its chi2, and where a fit
of the pixels from it leads (`galadapt.fitting.refine`). What the networks do not predict, position
angle, centre and sky, is taken from that fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import galsim
import numpy as np
from scipy.ndimage import gaussian_filter

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.config.image import Image
from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.photometry import flux_of, magnitude_of
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.neighbours import Shape, shape_of
from galadapt.cutouts.stamps import Stamp
from galadapt.fitting.refine import Refiner
from galadapt.general.parameters import catalogued
from galadapt.prediction.package import Record
from galadapt.simulation.renderers import make_renderer

#: What a renderer can draw; predictions beyond are drawn at the limit.
_RADII, _LARGEST_ELLIPTICITY = (0.3, 100.0), 0.95

#: Share of the model's light in a pixel by which the PSF and a real galaxy's structure may differ.
_MODEL_ERROR = 0.03

#: Smoothing of the light that a pixel's error is taken from [px].
_SMOOTHING = 1.2

#: Fewest pairs of empty pixels that a correlation of the noise is measured in.
_PAIRS = 200

#: Prior widths of a fit: hardly any, in ln flux, ln radius, ln index, e1, e2, and x and y [px].
_PRIORS = np.array([2.0, 2.0, 2.0, 0.7, 0.7, 1.0, 1.0])

#: Prior width of the sky [rms]: where it was measured around a stamp, and in a tight frame, where
#: the galaxy's wings were taken for sky.
_SKY, _TIGHT_SKY = 0.3, 3.0

#: Columns of the checks of one object, in order, besides those of `OFFSETS`.
COLUMNS = (
    "segment_magnitude",
    "flux_ratio",
    "flux_ratio_err",
    "expected_signal_to_noise",
    "chi2",
    "noise_correlation",
    *("sky", "fit_angle", "fit_x", "fit_y"),
)

#: Columns of where the pixels lead from the prediction: `<parameter>_offset` and `_offset_err`.
OFFSETS = tuple(f"{name}_{kind}" for name in PARAMETERS for kind in ("offset", "offset_err"))


class Checker:
    """Compares predictions with their stamps."""

    def __init__(self, record: Record, psf: galsim.GSObject) -> None:
        """Prepare for stamps of a package's size; `psf` is the images' own [arcsec]."""
        image = Image(
            stamp_size=record.stamp_size,
            pixel_scale=record.pixel_scale,
            zero_point=record.zero_point,
        )
        self._record = record
        self._renderer = make_renderer(image, psf, "ktable")
        self._refiner = Refiner(psf.dilate(1 / record.pixel_scale), record.stamp_size)

    def tight(self, room: np.ndarray) -> np.ndarray:
        """Whether images end so close to objects that their sky cannot be seen around them."""
        wanted = self._record.stamp_size / 2 + self._record.extraction.background_box / 2
        return room < wanted

    def many(
        self, stamps: Sequence[Stamp], predicted: np.ndarray, room: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Check stamps by their predictions (n, 4): arrays (n,) of `COLUMNS` and `OFFSETS`.

        `room` is their distance from the edge of the image [px], NaN unknown (n,). What cannot be
        said of a stamp is NaN.
        """
        found = {name: np.full(len(stamps), np.nan) for name in (*COLUMNS, *OFFSETS)}
        noise = np.array([_noise(stamp) for stamp in stamps])
        shapes = [_shape(one, self._extraction) for one in stamps]
        valid = np.array(
            [
                ~shape.neighbours & _within(stamp, float(reach))
                for stamp, shape, reach in zip(stamps, shapes, room, strict=True)
            ]
        )
        for row, (stamp, shape) in enumerate(zip(stamps, shapes, strict=True)):
            empty = shape.empty & valid[row]
            found["noise_correlation"][row] = noise_correlation(stamp.pixels, empty)
            light = float(stamp.pixels[shape.own].sum())
            if light > 0:
                magnitude = magnitude_of(light, self._record.zero_point)
                found["segment_magnitude"][row] = float(magnitude)
        known = np.isfinite(noise) & (noise > 0) & np.isfinite(predicted).all(axis=1)
        tight = self.tight(room)
        for group, width in ((known & ~tight, _SKY), (known & tight, _TIGHT_SKY)):
            rows = np.flatnonzero(group)
            if len(rows):
                self._compare(stamps, shapes, valid, noise, predicted, rows, width, found)
        return found

    @property
    def _extraction(self) -> Extraction:
        return self._record.extraction

    def _compare(
        self,
        stamps: Sequence[Stamp],
        shapes: Sequence[Shape],
        valid: np.ndarray,
        noise: np.ndarray,
        predicted: np.ndarray,
        rows: np.ndarray,
        sky_error: float,
        found: dict[str, np.ndarray],
    ) -> None:
        """Fit some stamps from their predictions, and compare."""
        record = self._record
        values = predicted[rows].astype(float)
        limited = drawable(dict(zip(PARAMETERS, values.T, strict=True)))
        values = np.stack([limited[name] for name in PARAMETERS], axis=1)
        angle = 2 * np.radians([shapes[row].position_angle for row in rows])
        start = np.stack(
            [
                np.log(flux_of(values[:, 0], record.zero_point)),
                np.log(values[:, 1]),
                np.log(values[:, 2]),
                values[:, 3] * np.cos(angle),
                values[:, 3] * np.sin(angle),
                [stamps[row].x_offset for row in rows],
                [stamps[row].y_offset for row in rows],
            ],
            axis=1,
        )
        exposure = np.full(len(rows), np.inf)
        if record.exposure_time:
            # Images as noisy as the training's have its exposure; deeper ones a longer one.
            exposure = record.exposure_time * (record.pixel_rms / noise[rows]) ** 2
        fit = self._refiner(
            np.stack([stamps[row].pixels for row in rows]),
            noise[rows],
            start,
            np.repeat(np.diag(_PRIORS**2)[None], len(rows), axis=0),
            valid[rows],
            exposure,
            sky_error,
        )
        # Of the sums of correlated noise, over that of white noise.
        area = (1 + 2 * np.clip(np.nan_to_num(found["noise_correlation"][rows]), 0, None)) ** 2
        covariance = fit.covariance * area[:, None, None]
        ends, ends_err = catalogued(fit.theta, covariance, record.zero_point)
        ends[~fit.converged] = np.nan
        for place, name in enumerate(PARAMETERS):
            found[f"{name}_offset"][rows] = ends[:, place] - values[:, place]
            found[f"{name}_offset_err"][rows] = ends_err[:, place]
        found["sky"][rows] = np.where(fit.converged, fit.sky, np.nan)
        for number, row in enumerate(rows):
            theta, sky = fit.theta[number], float(fit.sky[number]) if fit.converged[number] else 0.0
            placed = {
                **drawable(dict(zip(PARAMETERS, values[number].tolist(), strict=True))),
                "position_angle": math.degrees(0.5 * math.atan2(theta[4], theta[3])),
                "x_offset": float(theta[5]),
                "y_offset": float(theta[6]),
            }
            try:
                model = self._renderer.render(placed).astype(float)
            except DataError:
                # A prediction that no renderer draws has no model.
                continue
            found["fit_angle"][row] = placed["position_angle"]
            found["fit_x"][row], found["fit_y"][row] = theta[5], theta[6]
            light = stamps[row].pixels - sky
            compared = _compared(
                light, model, shapes[row], valid[row], noise[row], exposure[number], area[number]
            )
            for name, value in compared.items():
                found[name][row] = value


def drawable(values: dict[str, Any]) -> dict[str, Any]:
    """Values of `PARAMETERS`, numbers or arrays, within what a renderer draws."""
    return {
        "magnitude": values["magnitude"],
        "effective_radius": np.clip(values["effective_radius"], *_RADII),
        "sersic_index": np.clip(values["sersic_index"], *SERSIC_INDEX_LIMITS),
        "ellipticity": np.clip(values["ellipticity"], 0.0, _LARGEST_ELLIPTICITY),
    }


def _noise(stamp: Stamp) -> float:
    return stamp.empty_rms if np.isfinite(stamp.empty_rms) else stamp.local_rms


def fitted_pixels(stamp: Stamp, room: float, extraction: Extraction) -> np.ndarray:
    """Pixels (S, S) that a fit of a stamp uses: neither neighbours nor without data.

    `room` is the distance of its object from the edge of the image [px], NaN unknown.
    """
    return ~_shape(stamp, extraction).neighbours & _within(stamp, room)


def _shape(stamp: Stamp, extraction: Extraction) -> Shape:
    return shape_of(stamp.pixels, stamp.local_rms, (stamp.x_offset, stamp.y_offset), extraction)


def _within(stamp: Stamp, room: float) -> np.ndarray:
    """Pixels of a stamp that the image has."""
    side = len(stamp.pixels)
    good = np.ones((side, side), bool) if stamp.bad is None else ~stamp.bad
    if room < side / 2:
        # What lies beyond the image was filled in.
        away = np.abs(np.arange(side) - (side - 1) / 2)
        x, y = (away + abs(shift) <= room for shift in (stamp.x_offset, stamp.y_offset))
        good &= y[:, None] & x[None, :]
    return good


def _compared(
    light: np.ndarray,
    model: np.ndarray,
    shape: Shape,
    valid: np.ndarray,
    noise: float,
    exposure: float,
    area: float,
) -> dict[str, float]:
    """chi2 of a model and its light in the detected pixels."""
    smooth = np.clip(gaussian_filter(light, _SMOOTHING), 0, None)
    photons = noise**2 + smooth / exposure
    variance = photons + (_MODEL_ERROR * smooth) ** 2
    region = ((smooth > noise) | (model > 0.5 * noise)) & valid
    found = {}
    if region.any():
        found["chi2"] = float(((light - model) ** 2 / variance)[region].mean())
    own = shape.own & valid
    expected = float(model[own].sum())
    if own.any() and expected > 0:
        found["flux_ratio"] = float(light[own].sum()) / expected
        found["flux_ratio_err"] = math.sqrt(area * float(photons[own].sum())) / expected
        found["expected_signal_to_noise"] = expected / (noise * math.sqrt(float(own.sum())))
    return found


def noise_correlation(pixels: np.ndarray, empty: np.ndarray) -> float:
    """Mean correlation of the noise of neighbouring pixels along both axes; NaN if unknown."""
    found = []
    for axis in (0, 1):
        image, mask = np.moveaxis(pixels, axis, 0), np.moveaxis(empty, axis, 0)
        pairs = mask[1:] & mask[:-1]
        if pairs.sum() < _PAIRS:
            return math.nan
        first, second = image[1:][pairs], image[:-1][pairs]
        first, second = first - first.mean(), second - second.mean()
        scatter = math.sqrt(float((first**2).mean() * (second**2).mean()))
        if not scatter > 0:
            return math.nan
        found.append(float((first * second).mean()) / scatter)
    return float(np.mean(found))
