"""Which pixels of an image hold no data: the one map of bad pixels of all commands.

Bad are pixels that are not finite, that a mask or the DQ extension of the image marks, and those
of areas that hold one value: archives write 0, -1, -99 or -999 where nothing was observed, and
compression with dithering spreads that value over one step of its quantisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from scipy.ndimage import binary_dilation, binary_opening, maximum_filter, minimum_filter

from galadapt.core.errors import DataError
from galadapt.sky.fits_files import EXTENSIONS, Plane, companion
from galadapt.sky.headers import Cards, drop_unparsable
from galadapt.sky.pixels import Pixels, sample_boxes

#: An area of one value is as large as this square [px]; with dithering it is this larger one.
_AREA, _DITHERED = 3, 5

#: Bright plateaus are clipped stars up to this size [px].
_PLATEAU = 11

#: Values this far below the sky, in units of its scatter, are none of a whole-numbered image.
_FAR = 10.0

#: Squares of 0 expected by chance in an image of whole numbers whose zeros mean no data.
_CHANCE = 1e-3

#: Share of negative pixels of an image with noise about a sky of 0.
_NEGATIVE = 0.1

#: A mask that marks more than this share of the pixels with data is not one of bad pixels.
_MOST = 0.9

#: Bits of the masks of Rubin's and HSC's pipelines that mean bad pixels (cards MP_*); the others,
#: such as DETECTED, do not.
_RUBIN_BAD = ("BAD", "SAT", "CR", "NO_DATA", "UNMASKEDNAN", "SUSPECT")

#: Bits of DQ arrays that mean bad pixels: JWST's and Roman's DO_NOT_USE; HST's but those of pixels
#: that the pipeline has corrected or that are fit for use (warm, blemished flat, signal in the
#: zeroth read of the infrared detectors); Euclid's INVALID. Sources: for WFC3 the flags of calwf3;
#: for ACS stginga's table: 64 is a warm pixel, but a permanently hot one before `_ACS_WARM`.
_DO_NOT_USE = 1
_HST_GOOD = {"IR": 64 | 512 | 2048, "": 64}
_ACS_WARM = "2004-10-08"
_ALL = -1


@dataclass(frozen=True)
class Mask:
    """A map that marks bad pixels."""

    pixels: Pixels
    bits: int = _ALL  #: Bits that mean bad; all of them: any value but 0.
    invert: bool = False  #: Whether it marks the good ones instead.

    def bad(self, box: tuple[slice, slice]) -> np.ndarray:
        """Bad pixels of a box."""
        values = self.pixels[box]
        unknown = ~np.isfinite(values)
        values = np.where(unknown, 0, values)
        bits = values if self.bits == _ALL else values.astype(np.int64) & self.bits
        # What is not known to be good is bad, whatever the mask marks.
        return np.asarray(((bits != 0) != self.invert) | unknown)


@dataclass(frozen=True)
class BadPixels:
    """How the bad pixels of an image are recognised."""

    masks: tuple[Mask, ...] = ()
    areas: bool = True  #: Whether areas of one value are: not where a noise map marks them.
    values: tuple[float, ...] = ()  #: Values that stand for no data wherever they are.
    ceiling: float = np.inf  #: Areas of larger values are clipped stars.
    whole: bool = False  #: Whether values are whole numbers, of which equal ones are common.
    blank: bool = True  #: Whether areas of 0 in whole numbers are no data.

    def find(self, image: Pixels, box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        """Read a box of an image: its pixels as they are, and which of them are bad."""
        # Areas are recognised by their surroundings.
        context = _PLATEAU - 1 if self.areas or image.steps is not None else 0
        (y0, y1), (x0, x1) = ((k.start, k.stop) for k in box)
        a0, b0 = max(y0 - context, 0), max(x0 - context, 0)
        wide = np.s_[a0 : y1 + context, b0 : x1 + context]
        inner = np.s_[y0 - a0 : y1 - a0, x0 - b0 : x1 - b0]
        raw = image[wide]
        # What overflows float32 is no measurement either.
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(raw.astype(np.float64)) < np.finfo(np.float32).max)
        if context:
            bad |= self._areas(raw, image, wide)
        for value in self.values:
            bad |= raw == np.asarray(value, raw.dtype)
        raw, bad = raw[inner], bad[inner]
        for mask in self.masks:
            bad |= mask.bad(box)
        return raw, bad

    def _areas(self, raw: np.ndarray, image: Pixels, box: tuple[slice, slice]) -> np.ndarray:
        """Areas of one value, exact or within a step of the quantisation."""
        known = np.where(np.isfinite(raw), raw, np.float64(1e300))
        flat = np.zeros(raw.shape, bool)
        if self.areas and self.whole:
            if self.blank:
                flat = binary_opening(raw == 0, np.ones((_AREA, _AREA), bool))
        elif self.areas:
            flat = _constant(known, 0.0, _AREA, self.ceiling)
        if image.steps is not None:
            steps = image.steps[box]
            if steps.any():
                within = 1.02 * maximum_filter(steps, _DITHERED)
                flat |= _constant(known, within, _DITHERED, self.ceiling)
        return flat


def _constant(raw: np.ndarray, within: Any, side: int, ceiling: float) -> np.ndarray:
    """Pixels in a square whose values differ by at most `within`; bright ones in a large square."""
    low, high = minimum_filter(raw, side), maximum_filter(raw, side)
    centres = (high - low <= within) & (high < 1e299)
    half = side // 2
    # A square must lie inside the image: the filters repeat its edge.
    centres[:half], centres[-half:], centres[:, :half], centres[:, -half:] = (False,) * 4
    if not centres.any():
        return centres
    found = binary_dilation(centres, np.ones((side, side), bool))
    bright = found & (raw > ceiling)
    if bright.any():
        found &= ~bright | binary_opening(bright, np.ones((_PLATEAU, _PLATEAU), bool))
    return found


def bad_pixels_of(
    plane: Plane,
    *,
    mask: Path | None = None,
    invert: bool = False,
    bits: int | None = None,
    mapped: bool = False,
) -> BadPixels:
    """Find what marks the bad pixels of an image: a mask given, its DQ extension, its values.

    Args:
        mask, invert: The mask given, and whether non-zero marks good pixels in it.
        bits: Bits of the mask and the DQ extension that mean bad; 0 ignores the DQ extension; None
            for the instrument's own.
        mapped: Whether a noise map tells where there is data.

    Raises:
        DataError: a mask does not belong to the image, or marks nearly all of it.
    """
    image, cards, path, remark = plane.pixels, plane.cards, plane.cards.path, plane.cards.remark
    masks = []
    if mask is not None:
        found, header = companion(plane, mask, "mask")
        meant, words = (bits, "as given") if bits else _bits_of_mask(header, cards)
        meant, words = (_ALL, "all") if invert else (meant, words)
        if meant != _ALL:
            remark(f"{mask}: bad are the pixels of the bits {words}; others: --bad-bits")
        masks.append(Mask(found, meant, invert))
        if not invert:
            _check_share(image, masks[-1], f"{mask}: the mask", path)
    if bits != 0:
        for hdu in [hdu for hdu in plane.others if hdu.name in EXTENSIONS["mask"]][:1]:
            drop_unparsable(hdu.header)
            meant, words = (bits, "as given") if bits is not None else _bits(hdu.header, cards)
            masks.append(Mask(plane.pixels_of(hdu), meant))
            _check_share(image, masks[-1], f"{path}: its extension {hdu.name}", path)
            remark(f"{path}: bad pixels from its extension {hdu.name}; bits {words}")
    ceiling, values, whole, noisy = _sample(image)
    # In a model without noise zeros are values; with noise an area of them is none.
    mapped = mapped and not (noisy and 0.0 in values)
    for value in values:
        if value != 0 or not mapped:
            remark(f"{path}: areas that hold exactly {value:g} are taken as no data")
    others = tuple(value for value in values if value != 0)
    return BadPixels(tuple(masks), not mapped, others, ceiling, whole, 0.0 in values)


def _bits_of_mask(header: fits.Header, cards: Cards) -> tuple[int, str]:
    """Bits of a mask given as a file: an instrument's only where it is the instrument's own."""
    own = str(header.get("EXTNAME", "")).strip().upper() == "DQ"
    if own or any(str(card)[:3] == "MP_" for card in header):
        return _bits(header, cards)
    return _ALL, "all"


def _bits(header: fits.Header, cards: Cards) -> tuple[int, str]:
    """Bits of a mask that mean bad pixels, and in words."""
    planes = {str(card)[3:]: int(header[card]) for card in header if str(card)[:3] == "MP_"}
    if planes:
        bad = [name for name in _RUBIN_BAD if name in planes]
        return sum(1 << planes[name] for name in bad), ", ".join(bad)
    telescope = f"{cards.text('TELESCOP')} {cards.text('INSTRUME')}".upper()
    if any(name in telescope for name in ("JWST", "ROMAN", "EUCLID")):
        return _DO_NOT_USE, "1 (do not use)"
    if "HST" in telescope:
        detector = "IR" if cards.text("DETECTOR").upper() == "IR" else ""
        good = _HST_GOOD[detector]
        # Dates of FITS compare as text; a drizzled image of unknown date keeps the later meaning.
        if "ACS" in telescope and "" < cards.text("DATE-OBS") < _ACS_WARM:
            good = 0
        return ((1 << 32) - 1) & ~good, f"all but {good}" if good else "all"
    return _ALL, "all"


def _check_share(image: Pixels, mask: Mask, what: str, path: Path) -> None:
    """Refuse a mask that marks nearly all pixels with data: it is another kind of map."""
    marked = count = 0
    for box in sample_boxes(image.shape):
        data = np.asarray(image[box], float)
        seen = np.isfinite(data) & (data != 0)
        marked, count = marked + int(mask.bad(box)[seen].sum()), count + int(seen.sum())
    if count and marked > _MOST * count:
        raise DataError(
            f"{what} marks {100 * marked / count:.0f} % of the pixels of {path} as bad; non-zero "
            "must mean bad: invert it (--mask-good), or give the bits that mean bad (--bad-bits)"
        )


def _sample(image: Pixels) -> tuple[float, list[float], bool, bool]:
    """Level of clipped stars, values that fill areas below it, whether all are whole, and noisy."""
    parts = [np.asarray(image[box]) for box in sample_boxes(image.shape)]
    flat = np.concatenate([part.ravel()[:: max(1, part.size // 2**18)] for part in parts])
    flat = flat[np.isfinite(flat)].astype(np.float64)
    if not len(flat):
        return np.inf, [], False, False
    values, counts = np.unique(flat, return_counts=True)
    # The sky, without what stands for no data.
    body = flat[~np.isin(flat, values[counts > max(9, 0.02 * len(flat))])]
    body = body if len(body) > 0.01 * len(flat) else flat
    low, middle = np.percentile(body, [16, 50])
    scatter = float(middle - low)
    ceiling = float(middle + _FAR * scatter)
    whole = parts[0].dtype.kind != "f" or float(np.mean(flat == np.rint(flat))) > 0.9
    found: set[float] = set()
    for part in parts:
        known = np.where(np.isfinite(part), part, np.float64(1e300)).astype(np.float64)
        area = _constant(known, 0.0, _AREA, ceiling)
        found |= set(np.unique(known[area]).tolist()) if area.any() else set()
    if whole:
        found = {value for value in found if _blank(value, flat, float(np.prod(image.shape)))}
    if len(found) > 8:
        # Many values that fill areas are those of an image without noise.
        found = set()
    return ceiling, sorted(found), whole, float(np.mean(body < 0)) > _NEGATIVE


def _blank(value: float, flat: np.ndarray, pixels: float) -> bool:
    """Whether a whole number that fills areas stands for no data, though equal ones are common.

    It does far below the others; 0 also where no square of it is to be expected by chance. Images
    of counts have zeros.
    """
    others = flat[flat != value]
    if not len(others):
        # All pixels alike: a model, or nothing.
        return value <= 0
    low, middle = np.percentile(others, [16, 50])
    if value < middle - max(_FAR * (middle - low), 1.0):
        return True
    nearby = max(float(np.mean(others == 1)), float(np.mean(others == -1)))
    expected = nearby ** (_AREA**2) * pixels
    return value == 0 and bool((others < 0).any()) and expected < _CHANCE
