"""Opening an image with its maps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from galadapt.core.errors import DataError
from galadapt.core.files import Extension
from galadapt.core.interface import spelled
from galadapt.core.log import log
from galadapt.sky.bad_pixels import bad_pixels_of
from galadapt.sky.calibration import native_scales, unit_of, wanted_scale, zero_point_of
from galadapt.sky.fits_files import open_plane
from galadapt.sky.headers import exposure_time
from galadapt.sky.mosaic import Mosaic
from galadapt.sky.noise import noise_of, own_map
from galadapt.sky.pixels import Noise


@contextlib.contextmanager
def open_mosaic(
    image: str | Path,
    weight: str | Path | None = None,
    *,
    rms: str | Path | None = None,
    variance: str | Path | None = None,
    exposure: str | Path | None = None,
    mask: str | Path | None = None,
    invert_mask: bool = False,
    bad_bits: int | None = None,
    hdu: Extension | None = None,
    pixel_scale: float | None = None,
    native_pixel_scale: float | None = None,
    zero_point: float | None = None,
    unit: str | None = None,
    noise_gain: float = 1.0,
    measured: Noise | None = None,
    remark: Callable[[str], None] = log.info,
) -> Iterator[Mosaic]:
    """Open an image with its noise maps: FITS, plain, gzipped or with tile compression (fpack).

    Each path may name an extension: ``mosaic.fits[SCI]``, ``maps.fits[2]``.

    Args:
        weight: Inverse variance per pixel [unit^-2].
        rms: Noise per pixel [unit].
        variance: Its square.
        exposure: Exposure or other relative weight; scaled to the image's own background noise.
        mask: Non-zero where pixels are bad, or zero with `invert_mask`.
        bad_bits: Bits of the mask, or of the image's DQ extension, that mean bad; 0 ignores that
            extension; None for the instrument's own, else any value but 0.
        hdu: Number or name of the image's extension, where its path names none; None when only one
            image can be meant.
        pixel_scale: Wanted scale [arcsec/px]; None for the file's own.
        native_pixel_scale: The file's scale when it has no WCS [arcsec/px].
        zero_point: AB magnitude of 1 unit (of 1 count/s when counts are divided by the exposure
            time); None to take the header's.
        unit: Unit of the pixels when BUNIT is missing or wrong; "counts" means to divide by
            EXPTIME.
        noise_gain: Noise of resampled pixels over that of uncorrelated native ones.
        measured: Noise that an earlier opening has measured in the image: that takes seconds.
        remark: Called with warnings; a `Remarks` for many images alike.

    Without weight, rms, variance and exposure, an IVAR, ERR (RMS, SIGMA...), VAR or WHT (EXP...)
    extension of the same file is used, the latter as a relative weight; without any of them the
    noise is measured in the image itself. A DQ (MASK, FLAGS...) extension marks bad pixels.

    Raises:
        DataError: a file is missing, broken, ambiguous or not a plane image; shapes differ; the
            unit, the pixel scale or the noise cannot be known or contradict the maps given.
    """
    path = Path(image)
    given = {"weight": weight, "rms": rms, "variance": variance, "exposure": exposure}
    maps = {kind: Path(name) for kind, name in given.items() if name is not None}
    if len(maps) > 1:
        raise DataError(f"{path}: --{' and --'.join(maps)} are given; give one of them")
    with open_plane(path, "mosaic", hdu, remark) as plane:
        cards = plane.cards
        scales = native_scales(plane, native_pixel_scale)
        spelling, factor = unit_of(cards, unit, zero_point)
        saturation = cards.number("SATURATE")
        own = own_map(plane) if not maps else None
        mosaic = Mosaic(
            path=path,
            image=plane.pixels,
            bad_pixels=bad_pixels_of(
                plane,
                mask=None if mask is None else Path(mask),
                invert=invert_mask,
                bits=bad_bits,
                mapped=bool(maps) or own is not None,
            ),
            celestial=plane.sky,
            native_scales=scales,
            pixel_scale=wanted_scale(scales, pixel_scale, path),
            zero_point=zero_point_of(cards, zero_point, spelling, factor != 1, scales),
            unit=spelling,
            factor=factor,
            exposure_time=exposure_time(cards),
            saturation=saturation * factor if saturation and saturation > 0 else None,
            noise_gain=noise_gain,
        )
        mosaic.noise = noise_of(plane, maps, own, mosaic, measured)
        yield mosaic


class Remarks:
    """Log each remark of `open_mosaic` once, whatever the files it is about, and keep its text."""

    def __init__(self, quiet: bool = False) -> None:
        """Keep remarks, and log them unless `quiet`."""
        self._quiet = quiet
        self.texts: list[str] = []  #: without the files' names, in their order

    def __call__(self, message: str) -> None:
        """Log a remark unless it was made before."""
        text = spelled(message.partition(": ")[2])
        if text not in self.texts:
            self.texts.append(text)
            if not self._quiet:
                log.info(message)
