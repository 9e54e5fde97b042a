"""Which bright sources of an image are stars.

The width of bright cores is their adaptive Gaussian moment (Hirata & Seljak 2003, in GalSim), in
units of that of a PSF drawn at the same place between the pixels. Stars are the sources whose cores
are alike in width, ellipticity and kurtosis, and narrower than most others; galaxies differ in all
of them. Where no such group is found, no source is called a star.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import galsim
import numpy as np
import pandas as pd
from photutils.detection import find_peaks
from scipy.spatial.distance import cdist

from galadapt.config.survey import Extraction
from galadapt.core.extraction_flags import Flag
from galadapt.cutouts.shapes import FWHM, flat_core
from galadapt.cutouts.stamps import Stamp
from galadapt.cutouts.tiles import Pixels, Tile, segmented
from galadapt.simulation.psf import fwhm

#: Columns of a core: its place [px of the image it was measured in]; ln(width / that of the PSF)
#: and its error, ellipticity in two components and kurtosis less those of the PSF, and the
#: signal-to-noise ratio.
COLUMNS = (
    *("x", "y", "core_width", "core_width_err"),
    *("core_e1", "core_e2", "core_kurtosis", "core_snr"),
)

#: Cores of a lower signal-to-noise ratio are not measured.
SIGNAL_TO_NOISE = 50.0

#: Flags of the extraction that a core must not have.
_UNFIT = int(Flag.SATURATED | Flag.COINCIDENT)

#: Half side of the image a core is measured in, and radius without a bad pixel [FWHM of the PSF].
_REACH, _CLEAN = 4.0, 1.5

#: Places between pixels that the PSF is drawn at, per pixel.
_PHASES = 4

#: How far from its position a core may be [px], and the least width of one [px, sigma]: hot pixels
#: and cosmic rays are narrower.
_AWAY, _NARROWEST = 1.0, 0.55

#: Relative error of a width that is always there: sampling, and a PSF that varies in the field.
_LEAST_ERROR = 0.015

#: How far cores of stars lie from their group's middle: in ln(width), in a component of the
#: ellipticity and in kurtosis. The error of the width is added.
_ALIKE = (0.04, 0.04, 0.04, 0.12)

#: Fewest stars that show a PSF to be too wide: they are narrower than anything can be. Elsewhere
#: galaxies could be taken for stars: the number there, and the signal-to-noise ratio.
_FEWEST_NARROW, FEWEST, BRIGHT = 3, 4, 80.0

#: Relative difference of widths from which on a PSF is another one.
TOLERANCE = 0.1

#: Share of a group's number that may be narrower than it where stars are the narrowest sources,
#: and times by which it must be denser in ln(width) than the sources that are wider, up to so far.
_BELOW, _DENSER, _ABOVE = 0.25, 4.0, 0.5

#: Side of the pieces in which an image is searched [px], the most sources of each, and the height
#: of their peaks [noise of a pixel].
_PIECE, MOST, _PEAK = 2048, 300, 15.0

#: Meshes of the background of a piece, at least [px], and in widths of the PSF (FWHM).
_MESH, _MESH_WIDTHS = 64, 20


@dataclass
class Cores:
    """Measures cores of objects in units of a PSF."""

    psf: galsim.GSObject  #: effective PSF [arcsec]
    scale: float  #: of the pixels [arcsec]
    fwhm: float = field(init=False)  #: of the PSF [px]
    _drawn: dict[tuple[int, int], galsim.hsm.ShapeData | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fwhm = fwhm(self.psf, self.scale) / self.scale

    def of_image(self, image: Pixels) -> Iterator[pd.DataFrame]:
        """Measure the brightest peaks of an open image, piece by piece, the middle one first.

        Yields:
            `COLUMNS` of the cores of a piece that can be used.
        """
        mesh = max(_MESH, round(_MESH_WIDTHS * self.fwhm))
        extraction = Extraction(background_box=min(mesh, _PIECE // 2))
        for y0, y1, x0, x1 in _pieces(image.shape):
            tile = segmented(*image.read(y0, y1, x0, x1), x0, y0, extraction)
            level = getattr(image, "saturation", None)
            bad = tile.bad if level is None else tile.bad | (tile.raw >= level)
            yield self._of_tile(tile, bad)

    def of_stamps(self, stamps: Iterable[Stamp]) -> pd.DataFrame:
        """Measure the objects of stamps: `COLUMNS`, without those that are not usable."""
        rows = []
        for one in stamps:
            if not one.flags & _UNFIT and one.signal_to_noise > SIGNAL_TO_NOISE:
                middle = (len(one.pixels) - 1) / 2
                bad = np.zeros(one.pixels.shape, bool) if one.bad is None else one.bad
                place = middle + one.x_offset, middle + one.y_offset
                rows.append(self._of_object(one.pixels, bad, one.local_rms, *place))
        return _table(rows)

    def _of_tile(self, tile: Tile, bad: np.ndarray) -> pd.DataFrame:
        light, rms = tile.data, tile.rms
        significance = np.divide(light, rms, out=np.zeros_like(light), where=rms > 0)
        peaks = None
        if min(light.shape) > 2 * self.fwhm and (significance > _PEAK).any():
            side = 2 * math.ceil(self.fwhm) + 1
            peaks = find_peaks(significance, _PEAK, box_size=side, n_peaks=MOST)
        # photutils renamed its columns from x_peak on.
        places = [] if peaks is None else zip(*(peaks[f"{a}_peak"] for a in "xy"), strict=True)
        rows = [self._of_object(light, bad, float(rms[y, x]), x, y) for x, y in places]
        found = _table(rows)
        return found.assign(x=found["x"] + tile.x, y=found["y"] + tile.y)

    def _of_object(
        self, image: np.ndarray, bad: np.ndarray, rms: float, x: float, y: float
    ) -> np.ndarray:
        """`COLUMNS` of the core at (x, y) [px]; NaN where there is none that can be used."""
        unknown = np.full(len(COLUMNS), np.nan)
        reach = math.ceil(_REACH * self.fwhm)
        x0, y0 = max(round(x) - reach, 0), max(round(y) - reach, 0)
        box = np.s_[y0 : round(y) + reach + 1, x0 : round(x) + reach + 1]
        light = image[box].astype(float)
        rows, columns = np.ogrid[: light.shape[0], : light.shape[1]]
        near = np.hypot(rows + y0 - y, columns + x0 - x)
        middle = near <= _CLEAN * self.fwhm
        if not rms > 0 or bad[box][middle].any() or not np.isfinite(light).all():
            return unknown
        brightest = np.unravel_index(np.argmax(np.where(middle, light, -np.inf)), light.shape)
        if flat_core(light, int(brightest[1]), int(brightest[0]), rms):
            return unknown
        core = _moments(light, x - x0, y - y0, self.fwhm / FWHM)
        if core is None or core.moments_sigma < _NARROWEST:
            return unknown
        # GalSim counts pixels from 1.
        cx, cy = core.moments_centroid.x - 1 + x0, core.moments_centroid.y - 1 + y0
        snr = core.moments_amp / (2 * math.sqrt(math.pi) * core.moments_sigma * rms)
        if not snr > SIGNAL_TO_NOISE or math.hypot(cx - x, cy - y) > _AWAY:
            return unknown
        own = self._own(cx, cy)
        if own is None:
            return unknown
        return np.array(
            [
                cx,
                cy,
                math.log(core.moments_sigma / own.moments_sigma),
                math.hypot(_LEAST_ERROR, 1.5 / snr),
                core.observed_e1 - own.observed_e1,
                core.observed_e2 - own.observed_e2,
                core.moments_rho4 - own.moments_rho4,
                snr,
            ]
        )

    def _own(self, x: float, y: float) -> galsim.hsm.ShapeData | None:
        """Moments of the PSF as it is seen at a place between pixels."""
        steps = [round((value - round(value)) * _PHASES) for value in (x, y)]
        key = steps[0], steps[1]
        if key not in self._drawn:
            side = 2 * math.ceil(_REACH * self.fwhm) + 1
            shift = key[0] / _PHASES, key[1] / _PHASES
            image = self.psf.drawImage(
                nx=side, ny=side, scale=self.scale, method="no_pixel", offset=shift, dtype=float
            ).array
            middle = (side - 1) / 2
            place = middle + shift[0], middle + shift[1]
            self._drawn[key] = _moments(image, *place, self.fwhm / FWHM)
        return self._drawn[key]


def _table(rows: Sequence[np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame(np.reshape(rows, (-1, len(COLUMNS))), columns=list(COLUMNS)).dropna()


def _moments(image: np.ndarray, x: float, y: float, sigma: float) -> galsim.hsm.ShapeData | None:
    found = galsim.hsm.FindAdaptiveMom(
        galsim.Image(image),
        guess_centroid=galsim.PositionD(x + 1, y + 1),
        guess_sig=sigma,
        strict=False,
    )
    return found if found.moments_status == 0 and found.moments_sigma > 0 else None


def _pieces(shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Boxes (y0, y1, x0, x1) that an image consists of, the one in its middle first."""
    sides = []
    for length in shape:
        cuts = [0, *range((length - _PIECE) // 2 % _PIECE, length, _PIECE), length]
        if length <= _PIECE:
            cuts = [0, length]
        sides.append([pair for pair in pairwise(cuts) if pair[1] > pair[0]])
    boxes = [(*rows, *columns) for rows in sides[0] for columns in sides[1]]
    ny, nx = shape
    return sorted(boxes, key=lambda b: math.hypot(b[0] + b[1] - ny, b[2] + b[3] - nx))


def stars(cores: pd.DataFrame, bound: bool = True) -> pd.DataFrame:
    """Rows of cores (`COLUMNS`) that are stars'; none where too few are alike.

    Args:
        cores: Of one image, or of a sample of its cutouts.
        bound: Whether the PSF that is the unit of widths is one that galaxies were seen through:
            what is narrower than it is no galaxy.
    """
    width, error = cores["core_width"].to_numpy(), cores["core_width_err"].to_numpy()
    narrow = cores[width < -math.log1p(TOLERANCE) - 2 * error]
    groups = _groups(narrow, _FEWEST_NARROW) if bound else []
    if groups:
        return narrow.iloc[max(groups, key=len)]
    bright = cores[cores["core_snr"] > BRIGHT]
    width = bright["core_width"].to_numpy()
    for members in _groups(bright, FEWEST):
        low, high = width[members].min(), width[members].max()
        below = int((width < low - _ALIKE[0]).sum())
        above = int(((width > high) & (width < high + _ABOVE)).sum())
        room = max(high - low, _LEAST_ERROR)
        if below <= _BELOW * len(members) and len(members) * _ABOVE > _DENSER * above * room:
            return bright.iloc[members]
    return cores[:0]


def _groups(cores: pd.DataFrame, fewest: int) -> list[np.ndarray]:
    """Rows of cores that are alike, around each core that has enough: the narrowest first."""
    shapes = cores[["core_width", "core_e1", "core_e2", "core_kurtosis"]].to_numpy(float)
    if len(shapes) < fewest:
        return []
    limits = np.array(_ALIKE)
    # An error of the width is one of the ellipticity, and of the kurtosis, too.
    slack = cores["core_width_err"].to_numpy() / limits[0]
    alike = cdist(shapes / limits, shapes / limits, "chebyshev") <= 1 + slack[None, :]
    enough = np.flatnonzero(alike.sum(axis=1) >= fewest)
    order = enough[np.argsort(shapes[enough, 0], kind="stable")]
    return [np.flatnonzero(alike[row]) for row in order]
