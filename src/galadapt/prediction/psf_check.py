"""Is the PSF that was given the images' own? Point sources of an image answer that.

No source is narrower than the PSF, and stars are as wide as it. The width of bright cores is their
adaptive Gaussian moment (Hirata & Seljak 2003, in GalSim), and that of the PSF, drawn at the same
place between the pixels, is the unit. Stars are the sources whose cores are alike in width,
ellipticity and kurtosis; galaxies differ in all of them. Where no such group is found, nothing is
said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import galsim
import numpy as np
import pandas as pd
from photutils.detection import find_peaks
from scipy.spatial.distance import cdist

from galadapt.core.extraction_flags import Flag as ExtractionFlag
from galadapt.cutouts.shapes import flat_core
from galadapt.cutouts.stamps import Stamp
from galadapt.prediction.stamps import ImageStamps, StampSource, usable
from galadapt.simulation.psf import fwhm
from galadapt.sky import Mosaic

#: Columns of an object's core: ln(width / that of the PSF) and its error, ellipticity in two
#: components and kurtosis less those of the PSF, and the signal-to-noise ratio. NaN: not usable.
COLUMNS = ("core_width", "core_width_err", "core_e1", "core_e2", "core_kurtosis", "core_snr")

#: Cores of a lower signal-to-noise ratio are not measured.
_SIGNAL_TO_NOISE = 50.0

#: Flags of the extraction that a core must not have.
_UNFIT = int(ExtractionFlag.SATURATED | ExtractionFlag.COINCIDENT)

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

#: Fewest stars that say a PSF is too wide: they are narrower than anything can be. Where it is too
#: narrow, galaxies could be taken for stars: the number there, and the signal-to-noise ratio.
_FEWEST_NARROW, _FEWEST_WIDE, _BRIGHT = 3, 4, 80.0

#: Relative difference of widths from which on a PSF is another one.
_TOLERANCE = 0.1

#: Share of a group's number that may be narrower than it where stars are the narrowest sources,
#: and times by which it must be denser in ln(width) than the sources that are wider, up to so far.
_BELOW, _DENSER, _ABOVE = 0.25, 4.0, 0.5

#: Side of the piece in the middle of an image in which further sources are looked for [px], the
#: most of them, and the height of their peaks [noise of a pixel].
_PIECE, _MOST, _PEAK = 2048, 300, 15.0

#: Side of the squares whose medians are the piece's background [px].
_MESH = 64


class Verdict(NamedTuple):
    """What point sources say of a PSF."""

    ratio: float  #: their width over the PSF's
    stars: int  #: how many of them say so

    @property
    def disagrees(self) -> bool:
        """Whether the PSF is another one."""
        return not 1 / (1 + _TOLERANCE) < self.ratio < 1 + _TOLERANCE


@dataclass
class Cores:
    """Measures cores of objects in units of a PSF."""

    psf: galsim.GSObject  #: effective PSF [arcsec]
    scale: float  #: of the pixels [arcsec]
    fwhm: float = field(init=False)  #: of the PSF [px]
    _drawn: dict[tuple[int, int], galsim.hsm.ShapeData | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fwhm = fwhm(self.psf, self.scale) / self.scale

    def of_source(self, source: StampSource, objects: pd.DataFrame) -> pd.DataFrame:
        """Measure cores of an image, or of a sample of cutouts or stamps: `COLUMNS`."""
        if isinstance(source, ImageStamps):
            with source.open() as mosaic:
                return self.of_image(mosaic)
        rows = np.unique(np.linspace(0, len(objects) - 1, _MOST).round().astype(int))
        # Not read to its end, where a source reports its speed: that of measuring is of interest.
        batches = islice(source.stamps(objects, rows), len(rows))
        judged = [one for batch in batches for one in batch.judged]
        return pd.DataFrame(self.many([one for one in judged if usable(one)]))

    def many(self, stamps: Sequence[Stamp]) -> dict[str, np.ndarray]:
        """Measure the objects of stamps: `COLUMNS`, (n,) each."""
        found = np.full((len(stamps), len(COLUMNS)), np.nan)
        for row, one in enumerate(stamps):
            if one.flags & _UNFIT or not one.signal_to_noise > _SIGNAL_TO_NOISE:
                continue
            middle = (len(one.pixels) - 1) / 2
            bad = np.zeros(one.pixels.shape, bool) if one.bad is None else one.bad
            place = middle + one.x_offset, middle + one.y_offset
            found[row] = self._one(one.pixels, bad, one.local_rms, *place)
        return dict(zip(COLUMNS, found.T, strict=True))

    def of_image(self, mosaic: Mosaic) -> pd.DataFrame:
        """Measure the brightest peaks in the middle of an open image: `COLUMNS`."""
        (ny, nx), half = mosaic.shape, _PIECE // 2
        y0, x0 = max(ny // 2 - half, 0), max(nx // 2 - half, 0)
        data, weight = mosaic.read(y0, min(y0 + _PIECE, ny), x0, min(x0 + _PIECE, nx))
        bad = ~((weight > 0) & np.isfinite(data))
        rms = 1 / np.sqrt(np.where(bad, np.inf, weight))
        light = np.where(bad, 0.0, data - _background(data, bad))
        significance = np.divide(light, rms, out=np.zeros_like(light), where=rms > 0)
        peaks = None
        if min(light.shape) > 2 * self.fwhm and (significance > _PEAK).any():
            side = 2 * math.ceil(self.fwhm) + 1
            peaks = find_peaks(significance, _PEAK, box_size=side, n_peaks=_MOST)
        # photutils renamed its columns from x_peak on.
        places = [] if peaks is None else zip(*(peaks[f"{a}_peak"] for a in "xy"), strict=True)
        rows = [self._one(light, bad, float(rms[y, x]), x, y) for x, y in places]
        return pd.DataFrame(np.reshape(rows, (-1, len(COLUMNS))), columns=list(COLUMNS))

    def _one(
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
        core = _moments(light, x - x0, y - y0, self.fwhm / 2.355)
        if core is None or core.moments_sigma < _NARROWEST:
            return unknown
        # GalSim counts pixels from 1.
        cx, cy = core.moments_centroid.x - 1 + x0, core.moments_centroid.y - 1 + y0
        snr = core.moments_amp / (2 * math.sqrt(math.pi) * core.moments_sigma * rms)
        if not snr > _SIGNAL_TO_NOISE or math.hypot(cx - x, cy - y) > _AWAY:
            return unknown
        own = self._own(cx, cy)
        if own is None:
            return unknown
        return np.array(
            [
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
            self._drawn[key] = _moments(image, *place, self.fwhm / 2.355)
        return self._drawn[key]


def _moments(image: np.ndarray, x: float, y: float, sigma: float) -> galsim.hsm.ShapeData | None:
    found = galsim.hsm.FindAdaptiveMom(
        galsim.Image(image),
        guess_centroid=galsim.PositionD(x + 1, y + 1),
        guess_sig=sigma,
        strict=False,
    )
    return found if found.moments_status == 0 and found.moments_sigma > 0 else None


def _background(data: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Medians of squares, each pixel that of its own."""
    sky = np.zeros_like(data)
    for y in range(0, data.shape[0], _MESH):
        for x in range(0, data.shape[1], _MESH):
            box = np.s_[y : y + _MESH, x : x + _MESH]
            good = data[box][~bad[box]]
            sky[box] = np.median(good) if good.size else 0.0
    return sky


def verdict(cores: pd.DataFrame) -> Verdict | None:
    """Compare the point sources among cores (`COLUMNS`) with the PSF; None: too few are found."""
    cores = cores[list(COLUMNS)].dropna()
    if len(cores) < min(_FEWEST_NARROW, _FEWEST_WIDE):
        return None
    width, error = cores["core_width"].to_numpy(), cores["core_width_err"].to_numpy()
    narrow = cores[width < -math.log1p(_TOLERANCE) - 2 * error]
    groups = _groups(narrow, _FEWEST_NARROW)
    if groups:
        return _said(narrow, max(groups, key=len))
    bright = cores[cores["core_snr"] > _BRIGHT]
    width = bright["core_width"].to_numpy()
    for members in _groups(bright, _FEWEST_WIDE):
        low, high = width[members].min(), width[members].max()
        below = int((width < low - _ALIKE[0]).sum())
        above = int(((width > high) & (width < high + _ABOVE)).sum())
        room = max(high - low, _LEAST_ERROR)
        if below <= _BELOW * len(members) and len(members) * _ABOVE > _DENSER * above * room:
            return _said(bright, members)
    return None


def _said(cores: pd.DataFrame, members: np.ndarray) -> Verdict:
    middle = float(np.median(cores["core_width"].to_numpy()[members]))
    return Verdict(math.exp(middle), len(members))


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


def sentence(found: Verdict, width: float, image: str, remedy: str) -> str:
    """What is said of a PSF `width` px wide (FWHM) that disagrees with an image's sources."""
    which = "too wide" if found.ratio < 1 else "too narrow"
    return (
        f"{image}: the PSF is {which} for this image: {found.stars} point sources are "
        f"{found.ratio * width:.2f} px wide (FWHM), the PSF is {width:.2f} px; {remedy}, or check "
        "the pixel scales of the PSF and of the image (--psf-pixel-scale, --native-pixel-scale)"
    )
