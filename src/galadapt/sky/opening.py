"""Opening an image with its maps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from galadapt.core.errors import DataError
from galadapt.core.log import log
from galadapt.sky.calibration import (
    exposure_time,
    native_scales,
    unit_of,
    wanted_scale,
    whole_header,
    zero_point_of,
)
from galadapt.sky.fits_files import companion, open_fits, plane_of, science_plane
from galadapt.sky.mosaic import Mosaic
from galadapt.sky.noise import noise_of
from galadapt.sky.sky import celestial


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
    remark: Callable[[str], None] = log.info,
) -> Iterator[Mosaic]:
    """Open an image with its noise maps: FITS, plain, gzipped or with tile compression (fpack).

    Args:
        weight: Inverse variance per pixel [unit^-2].
        rms: Noise per pixel [unit].
        exposure: Exposure or other relative weight; scaled to the image's own background noise.
        mask: Non-zero where pixels are bad, or zero with `invert_mask`.
        hdu: Number or name of the extension; None when only one image can be meant.
        pixel_scale: Wanted scale [arcsec/px]; None for the file's own.
        native_pixel_scale: The file's scale when it has no WCS [arcsec/px].
        zero_point: AB magnitude of 1 unit (of 1 count/s when counts are divided by the exposure
            time); None to take the header's.
        unit: Unit of the pixels when BUNIT is missing or wrong; "counts" means to divide by
            EXPTIME.
        remark: Called with warnings; `once` for many images alike.

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
        hdus = open_fits(stack, path, "mosaic")
        science = science_plane(hdus, path, hdu)
        header = whole_header(hdus, science)
        sky = celestial(science.header, hdus, path)
        scales = native_scales(sky, native_pixel_scale, path)
        spelling, factor = unit_of(header, unit, path, remark)
        mosaic = Mosaic(
            path=path,
            image=plane_of(stack, science, path),
            mask=(
                None
                if mask is None
                else companion(stack, Path(mask), "mask", tuple(science.shape), path, sky)
            ),
            invert_mask=invert_mask,
            celestial=sky,
            native_scales=scales,
            pixel_scale=wanted_scale(scales, pixel_scale, path),
            zero_point=zero_point_of(
                header, zero_point, spelling, factor != 1, scales, path, remark
            ),
            unit=spelling,
            factor=factor,
            exposure_time=exposure_time(header),
        )
        mosaic.noise = noise_of(stack, hdus, science, maps, mosaic, sky, remark)
        yield mosaic


def once() -> Callable[[str], None]:
    """Log each remark of `open_mosaic` once, whatever the files it is about."""
    logged: set[str] = set()

    def remark(message: str) -> None:
        text = message.partition(": ")[2]
        if text not in logged:
            logged.add(text)
            log.info(message)

    return remark
