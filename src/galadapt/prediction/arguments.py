"""Arguments of a measurement, checked before anything is opened: all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from galadapt.core.errors import ConfigError
from galadapt.core.files import split_extension


@dataclass(frozen=True)
class Inputs:
    """What is to be measured; exactly one of images, cutouts and stamps.

    Paths of images, maps and PSF may name an extension: ``maps.fits[WHT]``.
    """

    images: Sequence[Path] = ()  #: Images with any number of objects.
    cutouts: Sequence[Path] = ()  #: Images, or a folder of them, with one object at the centre.
    stamps: Path | None = None  #: A stamp set.
    catalog: Path | None = None  #: Positions on the images; without it sources are detected.
    columns: Mapping[str, str] = field(default_factory=dict)  #: Its names of id, ra, dec, x, y.
    units: Mapping[str, str] = field(default_factory=dict)  #: Of its columns, over its own.
    table: int | str | None = None  #: Its table, where its file holds several.
    one_based: bool | None = None  #: Its first pixel is 1; None: depends on its columns' names.
    #: weight, rms, variance, exposure, mask: one path per image or cutout, or none.
    maps: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    psf: Path | None = None  #: FITS image of the images' effective PSF.
    #: FITS file to write: the PSF made of the image's stars, or `psf` fitted to them.
    psf_from_stars: Path | None = None
    psf_hdu: int | None = None  #: Its extension, where the path names none; None: the only image.
    #: Its sampling [arcsec/px]; None: its header's, else the images' own.
    psf_pixel_scale: float | None = None
    #: Further arguments of `galadapt.sky.open_mosaic`: hdu, zero_point, unit, native_pixel_scale,
    #: bad_bits, invert_mask; noise_gain, where pixels are summed.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Share of bad pixels up to which a stamp is measured; None: 0.1, or the package's own.
    max_bad_fraction: float | None = None
    fill: bool = False  #: Frame cutouts smaller than a stamp by noise like theirs.
    processes: int = 1  #: That share the cutting of stamps.
    #: The catalogue is a part of one: all its objects may lie outside of the image, and an image
    #: without a catalogue may have no source.
    partial: bool = False

    def opening(self, number: int = 0) -> dict[str, Any]:
        """Arguments of `galadapt.sky.open_mosaic` for an image or cutout, by its number."""
        maps = {kind: paths[number] for kind, paths in self.maps.items() if paths}
        return {**self.options, **maps}


def check_arguments(
    inputs: Inputs, outputs: Sequence[Path] = (), problems: Sequence[str] = ()
) -> None:
    """Refuse contradicting arguments, and outputs that are inputs, in one ConfigError.

    Files that are missing are named beside other problems; a missing file alone is left to what
    opens it. `problems` are further ones that the caller found.
    """
    found = [*problems, *_contradictions(inputs), *_overwritten(inputs, outputs)]
    missing = [
        f"{path}: no such file; check the path" for path in _files(inputs) if not path.exists()
    ]
    if len(found) + len(missing) > 1:
        found += missing
    if len(found) == 1:
        raise ConfigError(found[0])
    if found:
        listed = " ".join(f"({number}) {one}." for number, one in enumerate(found, start=1))
        raise ConfigError(f"{len(found)} problems: {listed}")


def _files(inputs: Inputs) -> list[Path]:
    """Files that are given, each once, whatever extensions of them are named."""
    maps = [path for paths in inputs.maps.values() for path in paths]
    single = [path for path in (inputs.stamps, inputs.catalog, inputs.psf) if path is not None]
    given = [*inputs.images, *inputs.cutouts, *maps, *single]
    return list(dict.fromkeys(split_extension(path)[0] for path in given))


def _overwritten(inputs: Inputs, outputs: Sequence[Path]) -> Iterator[str]:
    taken = {path.resolve() for path in _files(inputs)}
    made = [path for path in (inputs.psf_from_stars,) if path is not None]
    for output in (*outputs, *made):
        if output.resolve() in taken:
            yield f"{output}: would overwrite an input or another output; choose another name"
        taken.add(output.resolve())


def _contradictions(inputs: Inputs) -> Iterator[str]:
    """Options that would be ignored, and values out of range."""
    kinds = [bool(inputs.images), bool(inputs.cutouts), inputs.stamps is not None]
    if sum(kinds) != 1:
        yield "give exactly one of --images, --cutouts and --stamps"
    if inputs.catalog is not None and not inputs.images:
        yield "--catalog: belongs to --images; leave it out"
    for kind, paths in inputs.maps.items():
        if paths and inputs.stamps is not None:
            yield f"--{kind}: belongs to --images and --cutouts; leave it out"
        elif paths and inputs.images and len(paths) != len(inputs.images):
            yield f"--{kind}: {len(paths)} maps for {len(inputs.images)} images; give one each"
    if inputs.fill and not inputs.cutouts:
        yield "--fill: belongs to --cutouts; leave it out"
    of_catalog = inputs.columns or inputs.units or inputs.one_based or inputs.table is not None
    if inputs.catalog is None and of_catalog:
        yield "--columns, --units, --table and --one-based: belong to --catalog; give one"
    if inputs.max_bad_fraction is not None and not 0 <= inputs.max_bad_fraction < 1:
        yield (
            f"--max-bad-fraction: must lie in 0 to 1, not {inputs.max_bad_fraction:g}; correct it"
        )
    if inputs.options.get("invert_mask") and not inputs.maps.get("mask"):
        yield "--mask-good: belongs to --mask; give the mask"
    if inputs.catalog is None and len(inputs.images) > 1:
        yield "--images: without --catalog give one image at a time"
    if inputs.psf_from_stars is not None and not inputs.images:
        yield "--psf-from-stars: belongs to --images; leave it out"
    for name, given in (("pixel-scale", inputs.psf_pixel_scale), ("hdu", inputs.psf_hdu)):
        if inputs.psf is None and given is not None:
            yield f"--psf-{name}: belongs to --psf; give the PSF"
    if inputs.stamps is not None and inputs.options:
        yield (
            "--zero-point, --unit, --native-pixel-scale, --bad-bits and --hdu: a stamp set has its "
            "own; leave them out"
        )
    scales = {
        "--psf-pixel-scale": inputs.psf_pixel_scale,
        "--native-pixel-scale": inputs.options.get("native_pixel_scale"),
    }
    for name, scale in scales.items():
        if scale is not None and not 0 < scale < np.inf:
            yield f"{name}: must be positive [arcsec], not {scale:g}; correct it"
    zero_point = inputs.options.get("zero_point")
    if zero_point is not None and not 0 < zero_point < 40:
        yield (
            f"--zero-point: must lie in 0 to 40 (AB magnitude of 1 image unit), not "
            f"{zero_point:g}; correct it, or leave it out where the unit is a flux density"
        )
    if inputs.psf_hdu is not None and inputs.psf_hdu < 0:
        yield f"--psf-hdu: must be at least 0, not {inputs.psf_hdu}; correct it"
    if inputs.processes < 1:
        yield f"--processes: must be at least 1, not {inputs.processes}; correct it"
