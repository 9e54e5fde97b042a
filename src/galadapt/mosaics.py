"""Reading an image of the sky, whatever file, unit and pixel scale it comes in.

`open_mosaic` finds the image in the file, its weight, its unit and its zero point; `Mosaic.read`
gives any box of pixels on the grid the caller wants. Pixels are read from disk box by box.

Resampling. The grid keeps its orientation, so a new pixel scale is a product of two overlaps of
intervals, one per axis: each output pixel is the sum of the native pixels it covers, weighted by
the covered share. That is drizzling (Fruchter & Hook 2002) with a drop of a whole pixel and equal
weights. It is done here with two sparse matrices rather than with a drizzling package because
their entries are computed from absolute edges and their sums run in a fixed order: a pixel has the
same bytes whichever box it is read in. Its variance is the sum of the variances with the shares
squared. Neighbouring output pixels then share native ones: their noise is correlated, which the
weight, a variance per pixel, does not say.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import FK5, ICRS, SkyCoord, UnitSphericalRepresentation
from astropy.io import fits
from astropy.stats import SigmaClip, mad_std, sigma_clipped_stats
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning, Sip
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame
from photutils.background import MADStdBackgroundRMS
from scipy.ndimage import (
    binary_erosion,
    binary_opening,
    distance_transform_edt,
    generic_filter,
    map_coordinates,
)
from scipy.sparse import csr_array

from galadapt.errors import DataError
from galadapt.headers import without_stale_distortion
from galadapt.progress import say

#: Spellings met in archives, without blanks and in lower case.
_PER_SECOND = ("/s", "/sec", "/second", "/seconds", "s-1", "s^-1", "s**-1", ".s-1", "*s**-1")
_ELECTRONS = ("electrons", "electron", "elec", "e-", "e")
_COUNTS = ("counts", "count", "cts", "ct", "dn", "adu", "photons", "photon", "ph")
_MAGGIES = ("nanomaggy", "nanomaggies", "nanomaggie", "nmgy")

#: Cards that hold the AB magnitude of one image unit, the most explicit first.
_ZERO_POINT_CARDS = ("ABMAGZP", "ABZP", "MAGZERO", "MAGZPT", "ZEROPNT")

#: Cards that hold the exposure time [s].
_TIME_CARDS = ("EXPTIME", "TEXPTIME", "EXPOSURE")

#: Pixel scales that agree to this share are one: no resampling, no contradiction.
SCALE_TOLERANCE = 0.01

#: Zero points further apart than this contradict each other [mag].
_ZERO_POINT_TOLERANCE = 0.3

#: Names of the extensions that come with an image.
_EXTENSIONS = {
    "weight": ("WHT", "WEIGHT", "IVAR", "INVVAR"),
    "rms": ("RMS", "ERR", "ERROR", "SIGMA", "STD"),
    "exposure": ("EXP", "EXPTIME", "EXPOSURE", "WHT", "WEIGHT"),
    "mask": ("MASK", "DQ", "FLAG", "FLAGS"),
}
_NOT_SCIENCE = frozenset(name for names in _EXTENSIONS.values() for name in names) | {
    *(
        "CTX",
        "CON",
        "VAR",
        "VAR_POISSON",
        "VAR_RNOISE",
        "VAR_FLAT",
        "AREA",
        "WMAP",
        "TIME",
        "NSAMP",
    ),
}

#: What such a map in the image's own file is. Drizzled images carry as WHT an exposure time by
#: default, an inverse variance at choice: only the shape of it is trusted.
_OWN_MAPS = {
    "weight": ("IVAR", "INVVAR"),
    "rms": _EXTENSIONS["rms"],
    "exposure": ("WHT", "WEIGHT", "EXP", "EXPTIME", "EXPOSURE"),
}

#: First bytes of files that are compressed as a whole, and what opens them.
_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}

#: Native pixels may be so many output pixels wide.
_COARSEST = 8.0

#: Mesh of the noise estimate [px], and meshes read at once on each axis.
_MESH, _MESHES = 64, 16

#: Side of the box in which the noise is compared with what the weight says [px].
_SAMPLE = 512

#: The noise may be so many times what the weight says before that is said, and before it is wrong.
_NOISE_WARNING, _NOISE_ERROR = 4.0, 30.0


#: An edge this near to zero, over its scatter, is that of an image without sky.
_NO_SKY = 5.0


class _Sky:
    """Celestial coordinates of pixels, in degrees of the catalogue's frame (ICRS or J2000)."""

    def __init__(self, wcs: WCS, ratio: np.ndarray) -> None:
        self.wcs, self._ratio = wcs, ratio
        # Right ascension comes first in catalogues; not in every header.
        self._longitude_first = wcs.wcs.lng < wcs.wcs.lat
        frame = wcs_to_celestial_frame(wcs)
        # ICRS and J2000 differ by less than catalogues tell apart: both are taken as they are.
        same = isinstance(frame, ICRS) or (isinstance(frame, FK5) and frame.equinox == "J2000")
        self._frame = None if same else frame

    def world_to_pixel_values(self, ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
        lon, lat = np.broadcast_arrays(np.asarray(ra, float), np.asarray(dec, float))
        known = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90)
        lon, lat = np.where(known, lon, np.nan), np.where(known, lat, np.nan)
        if self._frame is not None:
            there = SkyCoord(np.nan_to_num(lon), np.nan_to_num(lat), unit="deg", frame="icrs")
            there = there.transform_to(self._frame)
            lon, lat = there.spherical.lon.deg, there.spherical.lat.deg
        world = (lon, lat) if self._longitude_first else (lat, lon)
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore")
            x, y = self.wcs.all_world2pix(*world, 0, quiet=True)
        known &= np.isfinite(x) & np.isfinite(y)
        return tuple(
            np.where(known, (value + 0.5) * ratio - 0.5, np.nan)
            for value, ratio in zip((x, y), self._ratio, strict=True)
        )  # type: ignore[return-value]

    def pixel_to_world_values(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        native = [
            (np.asarray(value, float) + 0.5) / ratio - 0.5
            for value, ratio in zip((x, y), self._ratio, strict=True)
        ]
        world = self.wcs.all_pix2world(*native, 0)
        lon, lat = world if self._longitude_first else world[::-1]
        if self._frame is not None:
            here = UnitSphericalRepresentation(lon * units.deg, lat * units.deg)
            here = SkyCoord(self._frame.realize_frame(here)).icrs
            lon, lat = here.ra.deg, here.dec.deg
        return np.asarray(lon), np.asarray(lat)


@dataclass(frozen=True)
class _Pixels:
    """One image plane in a memory map, which processes forked from this one can share."""

    source: np.ndarray
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.source.shape
        return ny, nx

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        raw = np.asarray(self.source[box])
        if self.scale == 1 and self.zero == 0 and self.blank is None:
            return raw
        values = raw * np.float64(self.scale) + self.zero
        return values if self.blank is None else np.where(raw == self.blank, np.nan, values)


@dataclass(frozen=True)
class _Noise:
    """Weight of the native pixels: inverse variance from one of several kinds of map."""

    kind: str
    pixels: _Pixels | None = None
    factor: float = 1.0
    mesh: np.ndarray | None = None

    def weight(self, box: tuple[slice, slice]) -> np.ndarray:
        if self.pixels is None:
            assert self.mesh is not None
            return 1 / _interpolated(self.mesh, box) ** 2
        values = self.pixels[box].astype(np.float64)
        if self.kind == "rms":
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(values > 0, values**-2.0, 0.0)
        return values * self.factor


class Mosaic:
    """An open image on the pixel grid its reader wants.

    Attributes:
        path: The file.
        native_shape: (ny, nx) of the file [px].
        shape: (ny, nx) [output px]; whole output pixels only.
        pixel_scale: Of the output [arcsec/px]; NaN when neither header nor caller knows.
        native_pixel_scale: Mean scale of the file's pixels [arcsec/px]; NaN when unknown.
        zero_point: AB magnitude of 1 image unit; None when neither header nor caller knows.
        unit: Of the data: "e-/s", "counts/s", or a calibrated flux density per native pixel.
        exposure_time: [s]; None when the header does not say.
        factor: What the file's pixels are multiplied with to be in `unit`.
    """

    def __init__(
        self,
        path: Path,
        image: _Pixels,
        mask: _Pixels | None,
        invert_mask: bool,
        sky: WCS | None,
        native_scales: np.ndarray,
        pixel_scale: float,
        zero_point: float | None,
        unit: str,
        factor: float,
        exposure_time: float | None,
    ) -> None:
        """Made by `open_mosaic`; without `noise`, a `_Noise`, every weight is 0."""
        self.path = path
        self._image, self._mask, self._invert_mask = image, mask, invert_mask
        self.noise: _Noise | None = None
        self.native_shape = image.shape
        self.native_pixel_scale = float(np.mean(native_scales))
        self.pixel_scale = pixel_scale
        self.zero_point, self.unit, self.exposure_time = zero_point, unit, exposure_time
        self.factor = factor
        # Output pixels per native pixel, in x and in y.
        self._ratio = np.ones(2)
        if np.any(np.abs(native_scales / pixel_scale - 1) > SCALE_TOLERANCE):
            self._ratio = native_scales / pixel_scale
        # A whole number of pixels must not be lost to rounding.
        rows, columns = np.floor(np.array(image.shape) * self._ratio[::-1] + 1e-6).astype(int)
        if min(rows, columns) < 1:
            raise DataError(
                f"{path}: the image is smaller than one pixel of {pixel_scale:g} arcsec; give a "
                "smaller pixel_scale"
            )
        self.shape = (int(rows), int(columns))
        self._sky = None if sky is None else _Sky(sky, self._ratio)

    @property
    def has_wcs(self) -> bool:
        """Whether pixels have places on the sky."""
        return self._sky is not None

    @property
    def noise_is_measured(self) -> bool:
        """Whether no map tells the noise, so that it was measured in the image itself."""
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
            inverse variance [unit^-2], 0 where there is no data, and the data there is 0.

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
            rows, y_low, y_high = _overlaps(y0, y1, self._ratio[1], self._image.shape[0])
            columns, x_low, x_high = _overlaps(x0, x1, self._ratio[0], self._image.shape[1])
            data, weight = self._native(y_low, y_high, x_low, x_high)
            good = weight > 0
            variance = np.divide(1.0, weight, out=np.zeros_like(weight), where=good)
            missing = rows @ (~good).astype(float) @ columns.T > 1e-6
            data = rows @ data @ columns.T
            variance = rows.power(2) @ variance @ columns.power(2).T
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
            data float64 [unit]; whether there is any: finite, not masked and, unless a weight map
            says so, not in an area of exact zeros. Elsewhere the data is 0.
        """
        # Blank areas are recognised by their surroundings.
        ny, nx = self.native_shape
        context = 2 if self.noise is None or self.noise.pixels is None else 0
        a0, b0 = max(y0 - context, 0), max(x0 - context, 0)
        box = np.s_[a0 : min(y1 + context, ny), b0 : min(x1 + context, nx)]
        raw = self._image[box]
        data = raw.astype(np.float64) * self.factor
        # What overflows float32 is no measurement either.
        good = np.abs(data) < np.finfo(np.float32).max
        if context and raw.dtype.kind == "f":
            good &= ~_blank(raw)
        if self._mask is not None:
            good &= (self._mask[box] != 0) == self._invert_mask
        inner = np.s_[y0 - a0 : y1 - a0, x0 - b0 : x1 - b0]
        return np.where(good, data, 0.0)[inner], good[inner]

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
        return self._placed().world_to_pixel_values(ra, dec)

    def sky(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Turn output pixels, 0-based, into (ra, dec) [deg]; NaN without WCS."""
        if self._sky is None:
            nothing = np.full(np.broadcast(np.asarray(x), np.asarray(y)).shape, np.nan)
            return nothing, nothing.copy()
        return self._sky.pixel_to_world_values(x, y)

    def angle(self, ra: Any, dec: Any, position_angle: Any) -> np.ndarray:
        """Turn position angles on the sky into angles on the image.

        Args:
            ra: Right ascension [deg] (N,).
            dec: Declination [deg] (N,).
            position_angle: [deg], from north through east (N,).

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
            wcs.sip = _scaled_sip(wcs.sip, ratio, wcs.wcs.crpix)
        wcs.wcs.set()
        return wcs

    def _placed(self) -> Any:
        if self._sky is None:
            raise DataError(
                f"{self.path}: no celestial WCS in the header; catalogue positions cannot be found "
                "without it: give positions in pixels (columns x and y)"
            )
        return self._sky


@contextlib.contextmanager
def open_mosaic(
    image: str | Path,
    weight: str | Path | None = None,
    *,
    rms: str | Path | None = None,
    exposure: str | Path | None = None,
    mask: str | Path | None = None,
    invert_mask: bool = False,
    hdu: int | str | None = None,
    pixel_scale: float | None = None,
    native_pixel_scale: float | None = None,
    zero_point: float | None = None,
    unit: str | None = None,
    remark: Callable[[str], None] = say,
) -> Iterator[Mosaic]:
    """Open an image and what is known of its noise.

    Args:
        image: FITS file, plain, gzipped or with tile compression (fpack).
        weight: Inverse variance per pixel [unit^-2].
        rms: Noise per pixel [unit].
        exposure: Exposure or other relative weight; scaled to the image's own background noise.
        mask: Non-zero where pixels are bad.
        invert_mask: Zero is bad instead.
        hdu: Number or name of the extension; None when only one image can be meant.
        pixel_scale: Wanted scale [arcsec/px]; None for the file's own.
        native_pixel_scale: The file's scale when it has no WCS [arcsec/px].
        zero_point: AB magnitude of 1 unit (of 1 count/s when counts are divided by the exposure
            time); None to take the header's.
        unit: Unit of the pixels when BUNIT is missing or wrong; "counts" means to divide by
            EXPTIME.
        remark: What is told of doubts that are no errors; `once` for many images alike.

    Without weight, rms and exposure, an IVAR, ERR (RMS, SIGMA...) or WHT (EXP...) extension of the
    same file is used, the latter as a relative weight; without any of them the noise is measured in
    the image itself.

    Raises:
        DataError: a file is missing, broken, ambiguous or not a plane image; shapes differ; the
            unit, the pixel scale or the noise cannot be known or contradict the maps given.
    """
    path = Path(image)
    given = {"weight": weight, "rms": rms, "exposure": exposure}
    maps = {kind: Path(name) for kind, name in given.items() if name is not None}
    if len(maps) > 1:
        raise DataError(f"{path}: {' and '.join(maps)} are given; give one of them")
    with contextlib.ExitStack() as stack:
        hdus = _open(stack, path, "mosaic")
        science = _science(hdus, path, hdu)
        header = _whole_header(hdus, science)
        sky = _celestial(science.header, hdus, path)
        scales = _native_scales(sky, native_pixel_scale, path)
        spelling, factor = _unit(header, unit, path, remark)
        mosaic = Mosaic(
            path=path,
            image=_plane(stack, science, path),
            mask=(
                None
                if mask is None
                else _companion(stack, Path(mask), "mask", tuple(science.shape), path, sky)
            ),
            invert_mask=invert_mask,
            sky=sky,
            native_scales=scales,
            pixel_scale=_wanted_scale(scales, pixel_scale, path),
            zero_point=_zero_point(header, zero_point, spelling, factor != 1, scales, path, remark),
            unit=spelling,
            factor=factor,
            exposure_time=_exposure_time(header),
        )
        mosaic.noise = _noise(stack, hdus, science, maps, mosaic, sky, remark)
        yield mosaic


def once() -> Callable[[str], None]:
    """Say each remark of `open_mosaic` once, whatever the files it is about."""
    said: set[str] = set()

    def remark(message: str) -> None:
        text = message.partition(": ")[2]
        if text not in said:
            said.add(text)
            say(message)

    return remark


# --- files ----------------------------------------------------------------------------------


def _open(stack: contextlib.ExitStack, path: Path, what: str) -> fits.HDUList:
    if not path.is_file():
        raise DataError(
            f"{path}: no such {what} file; check the path or rerun the stage that writes it"
        )
    shown = path
    try:
        with path.open("rb") as file:
            start = file.read(6)
        opener = next((way for magic, way in _COMPRESSED.items() if start.startswith(magic)), None)
        if opener is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="galadapt-"))
            plain = Path(folder) / "image.fits"
            with opener(path) as packed, plain.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 2**24)
            path = plain
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            # Astropy only warns of a truncated file; such an image must not be measured.
            warnings.filterwarnings("error", ".*truncated", AstropyWarning)
            hdus = stack.enter_context(fits.open(path, memmap=False))
            for hdu in hdus:
                _ = hdu.header
    except (OSError, ValueError, TypeError, EOFError, lzma.LZMAError, AstropyWarning) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{shown}: not a readable FITS file ({reason}); fetch it again") from None
    return hdus


def _planes(hdus: fits.HDUList) -> list[Any]:
    return [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) == 2]


def _names(hdus: list[Any], everything: fits.HDUList) -> str:
    shown = [f"{everything.index(hdu)} ({hdu.name or 'unnamed'})" for hdu in hdus[:5]]
    more = [f"{len(hdus) - 5} more"] if len(hdus) > 5 else []
    return ", ".join(shown + more)


def _science(hdus: fits.HDUList, path: Path, wanted: int | str | None) -> Any:
    """The HDU that holds the image."""
    planes = _planes(hdus)
    if wanted is not None:
        try:
            hdu = hdus[wanted]
        except (KeyError, IndexError):
            raise DataError(
                f"{path}: has no extension {wanted}; images are in {_names(planes, hdus) or 'none'}"
            ) from None
        if not hdu.is_image or len(hdu.shape) != 2:
            raise DataError(
                f"{path}: extension {wanted} is no plane image; images are in "
                f"{_names(planes, hdus) or 'none'}"
            )
        return hdu
    if not planes:
        cubes = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 2]
        if cubes:
            raise DataError(
                f"{path}: holds a cube of {cubes[0].shape} px, no 2-D image; write the plane to be "
                "measured to a file of its own"
            )
        raise DataError(f"{path}: holds no 2-D image; give the file of the mosaic itself")
    named = [hdu for hdu in planes if hdu.name == "SCI"]
    found = named or [hdu for hdu in planes if hdu.name not in _NOT_SCIENCE]
    # An image's own file often calls it nothing, or even "WHT".
    found = found or planes
    if len(found) > 1:
        raise DataError(
            f"{path}: holds {len(found)} images, in extensions {_names(found, hdus)}; name one "
            "with hdu"
        )
    return found[0]


def _plane(stack: contextlib.ExitStack, hdu: Any, path: Path) -> _Pixels:
    """Pixels of an HDU; those of a compressed one are unpacked once, to a temporary file."""
    try:
        if not isinstance(hdu, fits.CompImageHDU):
            return _mapped(hdu)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="galadapt-"))
        ny, _ = hdu.shape
        unpacked = None
        for start in range(0, ny, 512):
            band = hdu.section[start : min(start + 512, ny)]
            if unpacked is None:
                unpacked = np.lib.format.open_memmap(
                    Path(folder) / "image.npy", mode="w+", dtype=band.dtype, shape=hdu.shape
                )
            unpacked[start : start + len(band)] = band
        assert unpacked is not None
        return _Pixels(unpacked)
    except Exception as error:
        # Each way of compression fails with errors of its own.
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{path}: not a readable FITS file ({reason}); fetch it again") from None


def _mapped(hdu: Any) -> _Pixels:
    place, header = hdu.fileinfo(), hdu.header
    bits = int(header["BITPIX"])
    dtype = np.dtype(fits.BITPIX2DTYPE[bits]).newbyteorder(">")
    plane = np.memmap(place["file"].name, dtype, "r", place["datLoc"], tuple(hdu.shape))
    return _Pixels(
        plane,
        float(header.get("BSCALE", 1.0)),
        float(header.get("BZERO", 0.0)),
        int(header["BLANK"]) if bits > 0 and "BLANK" in header else None,
    )


def _companion(
    stack: contextlib.ExitStack,
    path: Path,
    kind: str,
    shape: tuple[int, int],
    image: Path,
    sky: WCS | None,
) -> _Pixels:
    """The map of a given kind (weight, rms, exposure or mask) that belongs to an image."""
    hdus = _open(stack, path, kind)
    planes = _planes(hdus)
    if not planes:
        raise DataError(f"{path}: holds no 2-D image; give the {kind} map itself")
    fitting = [hdu for hdu in planes if tuple(hdu.shape) == shape]
    if not fitting:
        raise DataError(
            f"{path}: {kind} map of {tuple(planes[0].shape)} px for a mosaic of {shape} px "
            f"({image}); give the {kind} map of the same mosaic"
        )
    named = [hdu for hdu in fitting if hdu.name in _EXTENSIONS[kind]]
    found = named[:1] or fitting
    if len(found) > 1:
        raise DataError(
            f"{path}: holds {len(found)} images, in extensions {_names(found, hdus)}, none named "
            f"as a {kind} map; give it in a file of its own"
        )
    other = _celestial(found[0].header, hdus, path)
    if sky is not None and other is not None:
        corner = np.array([[0.0, 0.0], [shape[1] - 1, shape[0] - 1]])
        there = other.all_world2pix(sky.all_pix2world(corner, 0), 0, quiet=True)
        shift = np.abs(there - corner).max()
        if not shift < 2:
            raise DataError(
                f"{path}: its WCS lies {shift:.1f} px from that of {image}; give the {kind} map of "
                "the same mosaic"
            )
    return _plane(stack, found[0], path)


def _celestial(header: fits.Header, hdus: fits.HDUList, path: Path) -> WCS | None:
    """Celestial WCS of a plane, None when the header has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            wcs = WCS(without_stale_distortion(header), hdus)
            if not wcs.has_celestial:
                return None
            scale = proj_plane_pixel_scales(wcs) * 3600
        except Exception as error:
            reason = str(error).strip().split("\n")[-1].rstrip(".")
            raise DataError(f"{path}: unreadable WCS ({reason}); repair the header") from None
    if not (np.isfinite(scale).all() and (scale > 0).all() and (scale < 600).all()):
        raise DataError(
            f"{path}: the WCS says that a pixel is {scale[0]:.3g} x {scale[1]:.3g} arcsec; repair "
            "CD or CDELT in the header"
        )
    return wcs


def _scaled_sip(sip: Sip, ratio: np.ndarray, crpix: np.ndarray) -> Sip:
    """Distortion polynomials on a grid whose pixels are 1 / ratio of the old ones."""

    def scaled(terms: np.ndarray | None, axis: int) -> np.ndarray | None:
        if terms is None:
            return None
        p, q = np.indices(terms.shape)
        return np.asarray(terms * ratio[axis] / (ratio[0] ** p * ratio[1] ** q))

    return Sip(scaled(sip.a, 0), scaled(sip.b, 1), scaled(sip.ap, 0), scaled(sip.bp, 1), crpix)


# --- what the header says -------------------------------------------------------------------


def _whole_header(hdus: fits.HDUList, science: Any) -> fits.Header:
    """Header of an extension, with what only the primary header says."""
    header = science.header.copy()
    for card in ("BUNIT", "PHOTFLAM", "PHOTPLAM", *_TIME_CARDS, *_ZERO_POINT_CARDS):
        if card not in header and card in hdus[0].header:
            header[card] = hdus[0].header[card]
    return header


def _number(header: fits.Header, card: str) -> float | None:
    value = header.get(card)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


def _exposure_time(header: fits.Header) -> float | None:
    for card in _TIME_CARDS:
        time = _number(header, card)
        if time is not None and time > 0:
            return time
    return None


def _native_scales(wcs: WCS | None, told: float | None, path: Path) -> np.ndarray:
    """Pixel scale in x and in y [arcsec/px]; NaN when unknown."""
    if told is not None and not 0 < told < np.inf:
        raise DataError(
            f"{path}: native_pixel_scale must be positive [arcsec], not {told:g}; correct it"
        )
    if wcs is None:
        return np.full(2, np.nan if told is None else told)
    scales = proj_plane_pixel_scales(wcs) * 3600
    if told is not None and np.any(np.abs(scales / told - 1) > SCALE_TOLERANCE):
        raise DataError(
            f"{path}: the WCS says {scales.mean():.4f} arcsec per pixel, native_pixel_scale "
            f"{told:g}; leave native_pixel_scale out or repair the header"
        )
    return np.asarray(scales)


def _wanted_scale(scales: np.ndarray, wanted: float | None, path: Path) -> float:
    if wanted is None:
        if abs(scales[0] / scales[1] - 1) > SCALE_TOLERANCE:
            raise DataError(
                f"{path}: pixels are {scales[0]:.4f} x {scales[1]:.4f} arcsec, not square; give "
                "the pixel_scale to resample to"
            )
        return float(scales.mean())
    if np.isnan(scales).any():
        raise DataError(
            f"{path}: the pixel scale is unknown, as the header has no celestial WCS; give "
            "native_pixel_scale [arcsec]"
        )
    if (scales / wanted > _COARSEST).any():
        raise DataError(
            f"{path}: pixels of {scales.mean():.3g} arcsec are too coarse to be resampled to "
            f"{wanted:g} arcsec; give a sharper image or a network for this scale"
        )
    # The grid is exactly what was asked for, or exactly the file's.
    same = (np.abs(scales / wanted - 1) <= SCALE_TOLERANCE).all()
    return float(scales.mean()) if same else float(wanted)


def _unit(
    header: fits.Header, told: str | None, path: Path, remark: Callable[[str], None]
) -> tuple[str, float]:
    """Unit of the pixels as they are read, and what the file's are multiplied with for it."""
    written = str(header.get("BUNIT", "")).strip()
    kind = _unit_kind(written if told is None else told)
    if told is not None and written and kind != _unit_kind(written):
        remark(f"{path}: BUNIT is '{written}'; taken as '{told}', as told")
    if kind in ("e-/s", "counts/s"):
        return kind, 1.0
    if kind in ("e-", "counts"):
        if told is None:
            raise DataError(
                f"{path}: BUNIT is '{written}', not a rate; give unit 'counts' to divide by "
                "EXPTIME, or 'counts/s' or 'e-/s' if BUNIT is wrong"
            )
        time = _exposure_time(header)
        if time is None:
            raise DataError(
                f"{path}: counts cannot be divided by the exposure time, as EXPTIME is "
                f"'{header.get('EXPTIME', '')}'; set it in the header [s]"
            )
        if time == 1:
            remark(f"{path}: EXPTIME is 1 s; check that the image does hold counts of 1 s")
        return f"{kind}/s", 1 / time
    if kind is not None:
        return kind, 1.0
    if told is None and not written:
        raise DataError(
            f"{path}: BUNIT is missing, so the unit of the pixels is unknown; give unit: 'e-/s', "
            "'counts/s', 'counts' or a flux density such as 'nJy' or 'MJy/sr'"
        )
    raise DataError(
        f"{path}: unit '{written if told is None else told}' is neither a rate nor a flux density "
        "per frequency; give unit: 'e-/s', 'counts/s', 'counts' or one such as 'nJy' or 'MJy/sr'"
    )


def _unit_kind(text: str) -> str | None:
    """Name of a unit: "e-/s", "counts/s", "e-", "counts", or a flux density as astropy writes it.

    Returns None when it is something else.
    """
    plain = text.lower().replace(" ", "")
    for per, suffix in ((_PER_SECOND, "/s"), (("",), "")):
        for names, name in ((_ELECTRONS, "e-"), (_COUNTS, "counts")):
            if plain in {one + end for one in names for end in per}:
                return name + suffix
    if plain == "cps":
        return "counts/s"
    if plain in _MAGGIES:
        return "nmgy"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", units.UnitsWarning)
            unit = units.Unit(text.strip())
    except (ValueError, TypeError):
        return None
    if unit.is_equivalent(units.Jy) or unit.is_equivalent(units.Jy / units.sr):
        return str(unit)
    return None


def _calibrated(unit: str, scales: np.ndarray, path: Path) -> float | None:
    """AB zero point of a flux density per pixel; None for a rate."""
    if unit in ("e-/s", "counts/s"):
        return None
    if unit == "nmgy":
        return 22.5
    flux = units.Unit(unit)
    if not flux.is_equivalent(units.Jy):
        if np.isnan(scales).any():
            raise DataError(
                f"{path}: unit '{unit}' needs the area of a pixel; give native_pixel_scale [arcsec]"
            )
        flux = flux * (float(np.prod(scales)) * units.arcsec**2)
    return float((1 * flux).to_value(units.ABmag))


def _zero_point(
    header: fits.Header,
    told: float | None,
    unit: str,
    divided: bool,
    scales: np.ndarray,
    path: Path,
    remark: Callable[[str], None],
) -> float | None:
    """AB magnitude of one unit: as told, else from the unit, else from the header, else None.

    PHOTFLAM and PHOTPLAM give it by STmag and the pivot wavelength (HST data handbooks):
    ZP = -2.5 log10 PHOTFLAM - 5 log10 PHOTPLAM - 2.408.
    """
    known = _calibrated(unit, scales, path)
    source = f"unit '{unit}'"
    if known is None:
        # Cards do not say whether they mean a count or a count per second.
        card = next((c for c in _ZERO_POINT_CARDS if _number(header, c) is not None), None)
        flam, plam = _number(header, "PHOTFLAM"), _number(header, "PHOTPLAM")
        if card is not None and divided:
            if told is None:
                remark(f"{path}: {card} may be that of counts, not of counts/s; it is not used")
        elif card is not None:
            known, source = _number(header, card), card
        if known is None and flam is not None and plam is not None and min(flam, plam) > 0:
            known = float(-2.5 * np.log10(flam) - 5 * np.log10(plam) - 2.408)
            source = "PHOTFLAM and PHOTPLAM"
    if told is not None and not abs(told) <= 60:
        raise DataError(f"{path}: zero_point {told:g} is no AB magnitude of one unit; correct it")
    if told is None:
        if known is not None and abs(known) > 60:
            raise DataError(
                f"{path}: {source} give the zero point {known:g}, which is no AB magnitude of one "
                "unit; repair the header or give zero_point"
            )
        return known
    if known is not None and abs(known - told) > _ZERO_POINT_TOLERANCE:
        remark(f"{path}: {source} give the zero point {known:.2f}; {told:.2f} is used, as told")
    return told


# --- noise ----------------------------------------------------------------------------------


def _noise(
    stack: contextlib.ExitStack,
    hdus: fits.HDUList,
    science: Any,
    maps: dict[str, Path],
    mosaic: Mosaic,
    sky: WCS | None,
    remark: Callable[[str], None],
) -> _Noise:
    """What is known of the noise of an image, which `mosaic` reads without any."""
    path, shape = mosaic.path, mosaic.native_shape
    found = None
    for kind, name in maps.items():
        found = _Noise(kind, _companion(stack, name, kind, shape, path, sky))
    if found is None:
        found = _own_map(stack, hdus, science, path, remark)
    if found is None:
        remark(f"{path}: no weight or rms map given: the noise is measured in the image")
        return _Noise("measured", mesh=_measured(mosaic)[0])
    if found.kind == "exposure":
        return _scaled_to_image(mosaic, found)
    ratio = _noise_ratio(mosaic, found)
    if not 1 / _NOISE_WARNING < ratio < _NOISE_WARNING:
        what = (
            f"{maps.get(found.kind, path)}: the noise of {path} is {ratio:.3g} times what this "
            f"{found.kind} map says"
        )
        if not 1 / _NOISE_ERROR < ratio < _NOISE_ERROR:
            raise DataError(
                f"{what}; give an inverse variance in the image's unit as weight, a noise as rms, "
                "and a relative or exposure map as exposure"
            )
        remark(f"{what}; check the maps and the unit")
    return found


def _own_map(
    stack: contextlib.ExitStack,
    hdus: fits.HDUList,
    science: Any,
    path: Path,
    remark: Callable[[str], None],
) -> _Noise | None:
    """The noise map in an image's own file, if there is one."""
    for hdu in _planes(hdus):
        if hdu is science or hdu.shape != science.shape or hdu.ver != science.ver:
            continue
        for kind, names in _OWN_MAPS.items():
            if hdu.name in names:
                remark(f"{path}: noise from its extension {hdu.name}, taken as {kind}")
                return _Noise(kind, _plane(stack, hdu, path))
    return None


def _sample(mosaic: Mosaic) -> tuple[int, int, int, int]:
    """A box near the middle of the image that holds data, of at most `_SAMPLE` px a side."""
    ny, nx = mosaic.native_shape
    side_y, side_x = min(_SAMPLE, ny), min(_SAMPLE, nx)
    best, most = (0, side_y, 0, side_x), -1
    for share_y, share_x in ((2, 2), (1, 1), (1, 3), (3, 1), (3, 3)):
        y0 = min(max(ny * share_y // 4 - side_y // 2, 0), ny - side_y)
        x0 = min(max(nx * share_x // 4 - side_x // 2, 0), nx - side_x)
        box = (y0, y0 + side_y, x0, x0 + side_x)
        good = int(mosaic.native_data(*box)[1].sum())
        if good > most:
            best, most = box, good
        if good > side_y * side_x // 2:
            break
    return best


def _noise_ratio(mosaic: Mosaic, noise: _Noise) -> float:
    """Noise of the image over the noise its map says; 1 when it cannot be told.

    Differences of neighbouring pixels are free of smooth light; where the noise is correlated they
    are smaller than those of independent pixels, at most by a factor of about two in archives.
    """
    y0, y1, x0, x1 = _sample(mosaic)
    data, good = mosaic.native_data(y0, y1, x0, x1)
    weight = noise.weight(np.s_[y0:y1, x0:x1]) / mosaic.factor**2
    good = good & np.isfinite(weight) & (weight > 0)
    pair = good[:, 1:] & good[:, :-1]
    if pair.sum() < 100:
        return 1.0
    seen = float(mad_std(np.diff(data, axis=1)[pair])) / np.sqrt(2)
    said = float(1 / np.sqrt(np.median(weight[good])))
    # An image without any noise is a model, not a contradiction.
    return seen / said if seen > 1e-12 * said else 1.0


def _scaled_to_image(mosaic: Mosaic, noise: _Noise) -> _Noise:
    """Scale a relative weight so that it is the inverse variance seen in the background."""
    mesh, relative = _measured(mosaic, noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = float(np.nanmedian(1 / (mesh**2 * relative)))
    if not (np.isfinite(factor) and factor > 0):
        raise DataError(
            f"{mosaic.path}: its exposure map is nowhere positive where the image has data; check "
            "that they are a pair"
        )
    return _Noise("weight", noise.pixels, factor)


def _measured(mosaic: Mosaic, noise: _Noise | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Background noise of an image on a mesh of `_MESH` px.

    Clipped median absolute deviations, then the median over 5 x 5 meshes, so that a galaxy wider
    than a mesh does not count as noise. The image is read once, in boxes.

    Returns:
        Noise in the file's unit (my, mx), and the median of the noise map's weight in each mesh.
    """
    estimate = MADStdBackgroundRMS(sigma_clip=SigmaClip(sigma=3.0, maxiters=5))
    ny, nx = mosaic.native_shape
    # A quarter of the pixels of a mesh is plenty where there are many meshes.
    step = 1 if ny * nx <= 2**24 else 2
    shape = (-(-ny // _MESH), -(-nx // _MESH))
    mesh, relative = np.full(shape, np.nan), np.full(shape, np.nan)
    block = _MESH * _MESHES
    for y in range(0, ny, block):
        for x in range(0, nx, block):
            y1, x1 = min(y + block, ny), min(x + block, nx)
            data, good = mosaic.native_data(y, y1, x, x1)
            weight = None if noise is None else noise.weight(np.s_[y:y1, x:x1])
            for a in range(0, y1 - y, _MESH):
                for b in range(0, x1 - x, _MESH):
                    cell = np.s_[a : a + _MESH : step, b : b + _MESH : step]
                    usable = good[cell] if weight is None else good[cell] & (weight[cell] > 0)
                    if usable.sum() < usable.size / 4:
                        continue
                    place = (y + a) // _MESH, (x + b) // _MESH
                    mesh[place] = estimate(data[cell][usable]) / mosaic.factor
                    if weight is not None:
                        relative[place] = np.median(weight[cell][usable])
    mesh[~(mesh > 0)] = np.nan
    if np.isnan(mesh).all():
        raise DataError(
            f"{mosaic.path}: no noise can be measured, as the image is empty or constant; give a "
            "weight or an rms map"
        )
    with warnings.catch_warnings():
        # Between meshes without data there is nothing to take a median of.
        warnings.simplefilter("ignore", RuntimeWarning)
        smooth = generic_filter(mesh, np.nanmedian, size=5, mode="nearest")
    nearest = distance_transform_edt(np.isnan(smooth), return_distances=False, return_indices=True)
    return smooth[tuple(nearest)], relative


def _interpolated(mesh: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Values of a mesh at the pixels of a box, linear between the meshes' centres."""
    rows, columns = ((np.arange(k.start, k.stop) + 0.5) / _MESH - 0.5 for k in box)
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.asarray(map_coordinates(mesh, grid, order=1, mode="nearest"))


def edge_level(data: np.ndarray, good: np.ndarray, side: int) -> tuple[float, float]:
    """Level and scatter of the outermost pixels of a small image: what lies beyond its edge.

    A galaxy may fill its cutout. The level is 0 where the edge is within `_NO_SKY` of its scatter
    from it: the sky has been subtracted, and the light there is the galaxy's. A frame at the level
    of that light cost the 82 COSMOS galaxies a quarter of a magnitude.

    Args:
        data: Pixels (ny, nx).
        good: Those that hold data.
        side: Smaller side of the image [px], the tenth of which is edge.

    Returns:
        level, scatter; the latter 0 when it cannot be measured.
    """
    edge = good & ~binary_erosion(good, iterations=max(2, side // 10))
    if not edge.any():
        return 0.0, 0.0
    level = float(sigma_clipped_stats(data[edge])[1])
    scatter = float(mad_std(data[edge]))
    return (0.0 if abs(level) < _NO_SKY * scatter else level), scatter


# --- pixels ---------------------------------------------------------------------------------


def _blank(data: np.ndarray) -> np.ndarray:
    """Pixels of areas that are exactly zero, as archives write what was never observed.

    Every pixel of a 3 x 3 square of zeros: a lone zero is a measurement.
    """
    return np.asarray(binary_opening(data == 0, np.ones((3, 3), bool)))


def _overlaps(start: int, stop: int, ratio: float, length: int) -> tuple[csr_array, int, int]:
    """Shares of native pixels in output pixels start to stop.

    Args:
        start: First output pixel.
        stop: The one after the last.
        ratio: Output pixels per native pixel.
        length: Number of native pixels.

    Returns:
        (stop - start, high - low) matrix; low; high: the range of native pixels that take part.
    """
    edges = np.arange(start, stop + 1) / ratio
    low, high = int(edges[0]), min(int(np.ceil(edges[-1])), length)
    most = int(np.ceil(1 / ratio)) + 1
    native = np.floor(edges[:-1]).astype(int)[:, None] + np.arange(most)
    shares = np.minimum(edges[1:, None], native + 1) - np.maximum(edges[:-1, None], native)
    used = (shares > 0) & (native < length)
    row = np.repeat(np.arange(stop - start), most).reshape(native.shape)
    matrix = csr_array(
        (shares[used], (row[used], native[used] - low)), shape=(stop - start, high - low)
    )
    return matrix, low, high
