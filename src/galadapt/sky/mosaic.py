"""An open image, read on the wanted pixel grid.

Resampling. The grid keeps its orientation, so a new pixel scale is a product of two overlaps of
intervals, one per axis: each output pixel is the sum of the native pixels it covers, weighted by
the covered share. That is drizzling (Fruchter & Hook 2002) with a drop of a whole pixel and equal
weights. It is done here with two sparse matrices rather than with a drizzling package because
their entries are computed from absolute edges and their sums run in a fixed order: a pixel has the
same bytes whichever box it is read in. Its variance is the sum of the variances with the shares
squared. Neighbouring output pixels then share native ones: their noise is correlated, and the
weight is the variance of each pixel alone. Where the noise of native pixels is correlated, that of
a sum is larger, by the factor `noise_gain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS

from galadapt.core.errors import DataError
from galadapt.sky.bad_pixels import BadPixels
from galadapt.sky.calibration import SCALE_TOLERANCE
from galadapt.sky.pixels import Noise, Pixels, overlaps
from galadapt.sky.sky import Sky, scaled_sip


@dataclass(eq=False)
class Mosaic:
    """An open image on the wanted pixel grid, made by `open_mosaic`.

    `shape` is (ny, nx) in whole output pixels, `native_shape` that of the file;
    `native_pixel_scale` is the mean scale of the file's pixels [arcsec/px], NaN when unknown.
    """

    path: Path
    image: Pixels
    bad_pixels: BadPixels  #: which of them hold no data
    celestial: WCS | None  #: of the file's pixels
    native_scales: np.ndarray  #: in x and y [arcsec/px]; NaN when unknown
    pixel_scale: float  #: of the output [arcsec/px]; NaN when unknown
    zero_point: float | None  #: AB magnitude of 1 image unit; None when unknown
    unit: str  #: "e-/s", "counts/s", or a calibrated flux density per native pixel
    factor: float  #: what the file's pixels are multiplied with to be in `unit`
    exposure_time: float | None  #: [s]; None when unknown
    saturation: float | None = None  #: lowest value of saturated pixels [unit], as they are read
    noise: Noise | None = None  #: without any, every weight is 0
    noise_gain: float = 1.0  #: of resampled pixels, over that of uncorrelated native ones

    def __post_init__(self) -> None:
        self.native_shape = self.image.shape
        self.native_pixel_scale = float(np.mean(self.native_scales))
        # Output pixels per native pixel, in x and in y.
        self._ratio = np.ones(2)
        if np.any(np.abs(self.native_scales / self.pixel_scale - 1) > SCALE_TOLERANCE):
            self._ratio = self.native_scales / self.pixel_scale
        if self.saturation is not None:
            self.saturation = float(self.saturation / self._ratio.prod())
        # A whole number of pixels must not be lost to rounding.
        rows, columns = np.floor(np.array(self.native_shape) * self._ratio[::-1] + 1e-6).astype(int)
        if min(rows, columns) < 1:
            raise DataError(
                f"{self.path}: the image is smaller than one pixel of {self.pixel_scale:g} arcsec; "
                "give a smaller pixel_scale"
            )
        self.shape = (int(rows), int(columns))
        self._sky = None if self.celestial is None else Sky(self.celestial)

    @property
    def has_wcs(self) -> bool:
        """Whether pixels have places on the sky."""
        return self._sky is not None

    @property
    def noise_is_measured(self) -> bool:
        """Whether there is no map of the noise, so that it was measured in the image itself."""
        return self.noise is not None and self.noise.kind == "measured"

    @property
    def resampled(self) -> bool:
        """Whether output pixels differ from native ones."""
        return bool(np.any(self._ratio != 1))

    def read(
        self, y0: int = 0, y1: int | None = None, x0: int = 0, x1: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read a box of output pixels: rows y0 to y1, columns x0 to x1, ends excluded.

        Returns:
            data (y1 - y0, x1 - x0) float32 [unit], flux conserved; weight of the same shape,
            inverse variance [unit^-2]. Both are 0 where there is no data.

        Raises:
            ValueError: the box is not inside `shape`.
        """
        ny, nx = self.shape
        y1, x1 = ny if y1 is None else y1, nx if x1 is None else x1
        if not (0 <= y0 < y1 <= ny and 0 <= x0 < x1 <= nx):
            raise ValueError(f"box {y0}:{y1}, {x0}:{x1} is not inside {ny} x {nx} px")
        if not self.resampled:
            data, weight = self._native(y0, y1, x0, x1)
        else:
            rows, y_low, y_high = overlaps(y0, y1, self._ratio[1], self.image.shape[0])
            columns, x_low, x_high = overlaps(x0, x1, self._ratio[0], self.image.shape[1])
            data, weight = self._native(y_low, y_high, x_low, x_high)
            good = weight > 0
            variance = np.divide(1.0, weight, out=np.zeros_like(weight), where=good)
            missing = rows @ (~good).astype(float) @ columns.T > 1e-6
            data = rows @ data @ columns.T
            variance = self.noise_gain**2 * (rows.power(2) @ variance @ columns.power(2).T)
            weight = np.divide(1.0, variance, out=np.zeros_like(variance), where=~missing)
            data[missing] = 0.0
        return data.astype(np.float32), weight.astype(np.float32)

    def _native(self, y0: int, y1: int, x0: int, x1: int) -> tuple[np.ndarray, np.ndarray]:
        """Data and weight of native pixels, in float64 and in `unit`; 0 where there is no data."""
        data, good = self.native_data(y0, y1, x0, x1)
        if self.noise is None:
            return data, np.zeros(data.shape)
        weight = self.noise.weight(np.s_[y0:y1, x0:x1]) / self.factor**2
        # Outside of this the inverse overflows float32.
        good &= (weight > 1e-30) & (weight < 1e30)
        return np.where(good, data, 0.0), np.where(good, weight, 0.0)

    def native_data(self, y0: int, y1: int, x0: int, x1: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a box of the file's own pixels, whatever their weight.

        Returns:
            data float64 [unit]; whether there is any (`galadapt.sky.bad_pixels`). Elsewhere it is
            0.
        """
        raw, bad = self.bad_pixels.find(self.image, np.s_[y0:y1, x0:x1])
        return np.where(bad, 0.0, raw.astype(np.float64) * self.factor), ~bad

    def regrid(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Turn the file's own pixels, 0-based, into output pixels."""
        column, row = (
            (np.asarray(value, float) + 0.5) * ratio - 0.5
            for value, ratio in zip((x, y), self._ratio, strict=True)
        )
        return column, row

    def positions(self, ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
        """Turn sky positions [deg] into output pixels (x, y), 0-based; NaN where off the sky.

        Raises:
            DataError: the image has no celestial WCS.
        """
        if self._sky is None:
            raise DataError(
                f"{self.path}: no celestial WCS in the header; catalogue positions cannot be found "
                "without it: give positions in pixels (columns x and y)"
            )
        return self.regrid(*self._sky.world_to_pixel_values(ra, dec))

    def sky(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Turn output pixels, 0-based, into (ra, dec) [deg]; NaN without WCS."""
        if self._sky is None:
            nothing = np.full(np.broadcast(np.asarray(x), np.asarray(y)).shape, np.nan)
            return nothing, nothing.copy()
        native = (
            (np.asarray(value, float) + 0.5) / ratio - 0.5
            for value, ratio in zip((x, y), self._ratio, strict=True)
        )
        return self._sky.pixel_to_world_values(*native)

    def angle(self, ra: Any, dec: Any, position_angle: Any) -> np.ndarray:
        """Turn position angles at ra, dec (N,) [deg], from north through east, into image angles.

        Returns:
            Angle [deg] in [-90, 90), counter-clockwise from +y, whatever the image's orientation.

        Raises:
            DataError: the image has no celestial WCS.
        """
        ra, dec, turn = (np.asarray(k, float) for k in (ra, dec, np.radians(position_angle)))
        step = 0.1 / 3600
        x, y = self.positions(ra, dec)
        to_x, to_y = self.positions(
            ra + step * np.sin(turn) / np.cos(np.radians(dec)), dec + step * np.cos(turn)
        )
        return np.asarray((np.degrees(np.arctan2(x - to_x, to_y - y)) + 90) % 180 - 90)

    def wcs(self) -> WCS | None:
        """Celestial WCS of the output grid; None when there is none.

        Raises:
            DataError: the WCS corrects distortion by tables, which cannot be scaled.
        """
        if self._sky is None:
            return None
        wcs = self._sky.wcs.deepcopy()
        if any(part is not None for part in (wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)):
            raise DataError(
                f"{self.path}: the WCS corrects distortion by tables; resample the image to a "
                "plain tangent plane first, as drizzling does"
            )
        ratio = self._ratio
        wcs.wcs.crpix = (wcs.wcs.crpix - 0.5) * ratio + 0.5
        if wcs.wcs.has_cd():
            wcs.wcs.cd = wcs.wcs.cd / ratio
        elif wcs.wcs.has_pc():
            # PC stays, but for unequal ratios, which a matrix alone can hold.
            wcs.wcs.pc = wcs.wcs.get_pc() * (ratio[0] / ratio)
            wcs.wcs.cdelt = wcs.wcs.get_cdelt() / ratio[0]
        if wcs.sip is not None:
            wcs.sip = scaled_sip(wcs.sip, ratio, wcs.wcs.crpix)
        wcs.wcs.set()
        return wcs
