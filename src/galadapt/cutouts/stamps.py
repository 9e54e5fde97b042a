"""One stamp: cut from its tile, measured, flagged or refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from galadapt.config.survey import Extraction
from galadapt.core.extraction_flags import FLAGS, Flag
from galadapt.cutouts import neighbours as around
from galadapt.cutouts.shapes import flat_core, windowed_fwhm
from galadapt.cutouts.tiles import Tile

#: Why an object is rejected, and what the `value` beside the reason is. A flag named in
#: ``extraction.reject`` is a reason too.
REASONS = {
    "outside": "distance of the centre beyond the mosaic's border [px]",
    "edge": "pixels the stamp lacks on its worst side [px]",
    "bad_pixels": "share of pixels that are not finite or have no weight",
    "undetected": "brightest pixel near the centre over the local rms",
    "neighbours": "share of the detected flux that belongs to neighbours",
    "split_overlap": "pixels shared with a stamp of another split",
    **{f"flag_{name}": f"signal-to-noise ratio; {text}" for name, text in FLAGS.items()},
}

_NEIGHBOURS = 0.1  #: share of the detected flux from which on neighbours are flagged
_BLEND = 0.05  #: share of the central segment's flux from which on it is called blended

#: Share of a stamp's surroundings without data from which on its background is extrapolated.
_SURROUNDINGS = 0.1

#: Ratio of the empty pixels' scatter to the weight map's from which on one of them is wrong.
_NOISE_RATIO = 2.0

#: Sigma of the mean that bad pixels are filled by [px], and the least share of good ones in it.
_BAD_REACH, _BAD_SHARE = 1.0, 0.05

#: Share of the pixels around the centre without data from which on these hide the object.
_NO_CORE = 0.5

_EMPTY_PIXELS = 100  #: empty pixels needed to measure their scatter

#: An object up to this many times the PSF's FWHM wide is a star, if its S/N suffices. The
#: wings of WFC3's F160W PSF make it 1.21 by this measure; galaxies with an effective radius of
#: 0.3 FWHM have 1.3 to 1.4, with 0.45 FWHM 1.42 to 1.48, whatever their Sersic index.
_STAR_WIDTH, _STAR_SIGNAL_TO_NOISE = 1.3, 20.0


@dataclass(frozen=True)
class Stamp:
    """A usable stamp and its measurements."""

    pixels: np.ndarray  #: (S, S) float32 [image unit], background-subtracted as configured
    x: int  #: column of the first pixel on the mosaic
    y: int  #: its row
    x_offset: float  #: position of the object from the stamp's centre (S-1)/2 [px]
    y_offset: float  #: the same along y
    #: Median of what was subtracted [image unit]; of what a mesh would have with background: none.
    background: float
    local_rms: float  #: median noise of a pixel, from the weight map [image unit]
    empty_rms: float  #: scatter of the empty pixels (1.4826 MAD), NaN when there are few
    neighbour_fraction: float  #: share of the detected flux that is not the object's, unmasked
    signal_to_noise: float  #: of the central segment, for uncorrelated noise
    fwhm: float  #: width of the core (`shapes.windowed_fwhm`) [px], NaN unknown
    flags: int  #: bits of `galadapt.core.extraction_flags.Flag`
    bad: np.ndarray | None = None  #: pixels without data (S, S); None: there is none

    def scaled(self, factor: float) -> Stamp:
        """Return the stamp with all its fluxes multiplied: in another unit."""
        if factor == 1:
            return self
        return dataclasses.replace(
            self,
            pixels=self.pixels * np.float32(factor),
            local_rms=self.local_rms * factor,
            empty_rms=self.empty_rms * factor,
            background=self.background * factor,
        )


@dataclass(frozen=True)
class Rejection:
    """An object without a usable stamp."""

    reason: str  #: a key of `REASONS`
    value: float  #: as described there


def judge(
    tile: Tile,
    x: float,
    y: float,
    size: int,
    extraction: Extraction,
    psf_fwhm: float | None,
    flags: Flag,
) -> Stamp | Rejection:
    """Cut and judge the object at (x, y) [px of the mosaic], whose surroundings the tile holds.

    `psf_fwhm` [px] is None to look for no stars; `flags` are those set before.
    """
    # The corner that puts the object within half a pixel of the stamp's centre; whole positions,
    # half a pixel from two centres, must not be at the mercy of the WCS's rounding.
    left, low = (int(np.ceil(value - size / 2 - 1e-4)) for value in (x, y))
    x0, y0 = left - tile.x, low - tile.y
    ny, nx = tile.data.shape
    lacking = max(-x0, -y0, x0 + size - nx, y0 + size - ny)
    if lacking > 0:
        return Rejection("edge", float(lacking))
    box = np.s_[y0 : y0 + size, x0 : x0 + size]
    bad = tile.bad[box]
    bad_fraction = float(bad.mean())
    if bad_fraction > extraction.max_bad_fraction or bad_fraction == 1:
        return Rejection("bad_pixels", bad_fraction)
    if bad_fraction > 0:
        flags |= Flag.BAD_PIXELS
    data, smooth, segments = tile.data[box], tile.smooth[box], tile.segments[box]
    rms = tile.rms[box]
    local_rms = float(np.median(rms[~bad]))
    centre = (x - left, y - low)
    label = around.central_label(segments, smooth, centre)
    if label == 0:
        near = around.distance(smooth.shape, centre) <= around.CENTRE_RADIUS
        if bad[near].mean() > _NO_CORE:
            # Its light may lie there, as where cores are saturated: the sky does not lack it.
            return Rejection("bad_pixels", bad_fraction)
        return Rejection("undetected", float(smooth[near].max() / local_rms))
    own, detected = segments == label, segments > 0
    blended = around.blended_pixels(smooth, own, centre, local_rms)
    own_flux = float(data[own].sum())
    blended_flux = float(smooth[blended].sum())
    total = float(data[detected].sum())
    others = float(data[detected & ~own].sum())
    fraction = float(np.clip((others + blended_flux) / total, 0, 1)) if total > 0 else 0.0
    if fraction > extraction.max_neighbour_fraction:
        return Rejection("neighbours", fraction)
    if fraction > _NEIGHBOURS:
        flags |= Flag.NEIGHBOUR
    is_blended = blended_flux > _BLEND * own_flux
    if is_blended:
        flags |= Flag.BLENDED

    empty = ~tile.sources[box] & ~bad
    empty_rms = _scatter(data[empty])
    if np.isfinite(empty_rms) and not 1 / _NOISE_RATIO < empty_rms / local_rms < _NOISE_RATIO:
        flags |= Flag.NOISE_DISAGREES
    signal_to_noise = own_flux / float(np.sqrt((rms[own] ** 2).sum()))
    if signal_to_noise < extraction.low_signal_to_noise:
        flags |= Flag.LOW_SIGNAL_TO_NOISE
    if _lacks_surroundings(tile, x0, y0, size, extraction.background_box):
        flags |= Flag.NEAR_EDGE
    fwhm = np.nan if psf_fwhm is None else windowed_fwhm(data, *centre, psf_fwhm)
    if psf_fwhm is not None and signal_to_noise > _STAR_SIGNAL_TO_NOISE:
        flags |= Flag.STAR if fwhm < _STAR_WIDTH * psf_fwhm else Flag(0)
    raw = tile.raw[box]
    if _saturated(raw, data, own, centre, local_rms, extraction.saturation):
        flags |= Flag.SATURATED

    for name in extraction.reject:
        if flags & Flag[name.upper()]:
            return Rejection(f"flag_{name}", signal_to_noise)

    background = float(np.median((raw - data)[~bad]))
    pixels = data.copy()
    if extraction.background != "mesh":
        if extraction.background == "annulus":
            background = _annulus(tile, x0, y0, size, background)
            pixels = raw - np.float32(background)
        else:
            pixels = raw.copy()
        pixels[bad] = 0
    if extraction.neighbours == "mask":
        if is_blended:
            own = around.deblended(smooth, own, centre, extraction.detection_area)
        rest = 0.0 if extraction.background != "none" else background
        scatter = empty_rms if np.isfinite(empty_rms) else local_rms
        pixels = rest + around.without_neighbours(
            pixels - rest, own, detected & ~own, empty, centre, scatter, (low, left)
        )
    if bad_fraction > 0:
        pixels = _interpolated(pixels, bad)
    middle = (size - 1) / 2
    return Stamp(
        pixels=pixels.astype(np.float32, copy=False),
        x=left,
        y=low,
        x_offset=float(centre[0] - middle),
        y_offset=float(centre[1] - middle),
        background=background,
        local_rms=local_rms,
        empty_rms=empty_rms,
        neighbour_fraction=fraction,
        signal_to_noise=signal_to_noise,
        fwhm=float(fwhm),
        flags=int(flags),
        bad=bad.copy() if bad_fraction > 0 else None,
    )


def _interpolated(pixels: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Fill bad pixels by a mean of those around them; far from any good one they stay."""
    good = np.where(bad, np.float32(0), np.float32(1))
    weight = gaussian_filter(good, _BAD_REACH)
    near = bad & (weight > _BAD_SHARE)
    filled = pixels.copy()
    filled[near] = gaussian_filter(pixels * good, _BAD_REACH)[near] / weight[near]
    return filled


def _scatter(values: np.ndarray) -> float:
    if len(values) < _EMPTY_PIXELS:
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _lacks_surroundings(tile: Tile, x0: int, y0: int, size: int, box: int) -> bool:
    here = tile.bad[max(y0 - box, 0) : y0 + size + box, max(x0 - box, 0) : x0 + size + box]
    return bool(1 - (here.size - here.sum()) / (size + 2 * box) ** 2 > _SURROUNDINGS)


def _saturated(
    raw: np.ndarray,
    data: np.ndarray,
    own: np.ndarray,
    centre: tuple[float, float],
    rms: float,
    level: float | None,
) -> bool:
    if level is not None and bool((raw[own] >= level).any()):
        return True
    near = around.distance(data.shape, centre) <= around.CENTRE_RADIUS
    y, x = np.unravel_index(np.argmax(np.where(near, data, -np.inf)), data.shape)
    return flat_core(data, int(x), int(y), rms)


def _annulus(tile: Tile, x0: int, y0: int, size: int, otherwise: float) -> float:
    """Median of the empty pixels between 1 and 1.25 half sides (at least 8 px) from the centre."""
    reach = size // 2 + max(size // 8, 8)
    middle = (x0 + (size - 1) / 2, y0 + (size - 1) / 2)
    top, left = max(int(middle[1]) - reach, 0), max(int(middle[0]) - reach, 0)
    box = np.s_[top : int(middle[1]) + reach + 2, left : int(middle[0]) + reach + 2]
    raw = tile.raw[box]
    apart = around.distance(raw.shape, (middle[0] - left, middle[1] - top))
    ring = (apart >= size / 2) & (apart <= reach) & ~tile.sources[box] & ~tile.bad[box]
    return float(np.median(raw[ring])) if ring.sum() >= _EMPTY_PIXELS else otherwise
