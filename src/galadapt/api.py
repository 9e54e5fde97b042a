"""The public Python interface: `measure`, `simulate`, `load`.

A thin layer over the functions that the command line calls too. What is given as a file may also be
given as an object of astropy, pandas or numpy. Heavy imports stand inside the functions.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar

from galadapt.core.errors import ConfigError
from galadapt.core.interface import plain, spelling
from galadapt.stamps.format import StampSet

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from astropy.io import fits
    from astropy.table import Table

    from galadapt.config.image import FitsPsf, Image, OpticalPsf
    from galadapt.general.package import GeneralPackage
    from galadapt.prediction.package import Package

    File: TypeAlias = str | Path
    #: An image: a FITS file, or astropy's object of one.
    ImageLike: TypeAlias = File | fits.HDUList | fits.PrimaryHDU | fits.ImageHDU
    #: A table: a file of any usual format, or an object.
    TableLike: TypeAlias = File | Table | pd.DataFrame
    #: A PSF: an image, or its pixels.
    PsfLike: TypeAlias = ImageLike | np.ndarray


Given = ParamSpec("Given")
Result = TypeVar("Result")


def _in_python(**names: str) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Have messages name a function's own arguments, unless the command line calls it.

    Args:
        names: Its arguments, by the command line's other names for them.
    """

    def decorated(function: Callable[Given, Result]) -> Callable[Given, Result]:
        spelt = {**plain(signature(function).parameters), **names}

        @wraps(function)
        def called(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            with spelling(spelt, at_most=True):
                return function(*args, **kwargs)

        return called

    return decorated


@_in_python(
    catalog="catalogue",
    model="package",
    stamps="a stamp set",
    **{"pixel-scale": "native_pixel_scale"},
)
def measure(
    images: ImageLike | StampSet | Sequence[ImageLike],
    catalogue: TableLike | None = None,
    psf: PsfLike | None = None,
    *,
    package: File | Model | None = None,
    weight: ImageLike | Sequence[ImageLike] = (),
    rms: ImageLike | Sequence[ImageLike] = (),
    variance: ImageLike | Sequence[ImageLike] = (),
    exposure: ImageLike | Sequence[ImageLike] = (),
    mask: ImageLike | Sequence[ImageLike] = (),
    mask_good: bool = False,
    bad_bits: int | None = None,
    max_bad_fraction: float | None = None,
    cutouts: bool = False,
    fill: bool = False,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    one_based: bool | None = None,
    table: int | str | None = None,
    zero_point: float | None = None,
    unit: str | None = None,
    hdu: int | str | None = None,
    native_pixel_scale: float | None = None,
    psf_pixel_scale: float | None = None,
    psf_hdu: int | None = None,
    psf_from_stars: File | None = None,
    members: int | None = None,
    population: bool = False,
    level: float = 0.68,
    recalibration: File | None = None,
    fast: bool = False,
    processes: int = 1,
    output: File | None = None,
    plot: File | None = None,
    report: File | None = None,
) -> Table:
    """Measure galaxies with a trained model package.

    A file of an image, a map or the PSF may name an extension: ``"maps.fits[WHT]"``.

    Args:
        images: One image, several, a stamp set (object or ``.h5`` file), or with `cutouts` small
            images of one object each, or their folder.
        catalogue: Positions (ra, dec or x, y) and identifiers; None: sources are detected.
        psf: The effective PSF of the images, pixel included; None: that of the training.
        package: A model of `load`, the folder of a package or the name of a fetched one; None:
            the shipped one, which is for any image.
        weight: Inverse variance, one map per image.
        rms: Noise instead, one map per image.
        variance: Its square instead, one map per image.
        exposure: Exposure time or relative weight instead, one map per image.
        mask: Bad pixels (non-zero), one map per image.
        mask_good: Whether non-zero in `mask` marks good pixels.
        bad_bits: Bits of the mask or DQ extension that mean bad; None: the instrument's own.
        max_bad_fraction: Share of bad pixels up to which an object is measured; None: 0.1.
        cutouts: Whether each image holds one object at its centre.
        fill: Whether cutouts smaller than a stamp are framed by noise like theirs.
        columns: Columns of the catalogue by galadapt's names: ``{"ra": "ALPHA_J2000"}``.
        units: Units of its columns, instead of those in the file: ``{"ra": "hourangle"}``.
        one_based: Whether its x and y count from 1; None: as the columns' names suggest.
        table: Number or name of its table, where its file holds several.
        zero_point: AB magnitude of one image unit; None: the header's.
        unit: Unit of the pixels, where BUNIT is missing or wrong.
        hdu: Extension of the images, by number or name, where their files name none.
        native_pixel_scale: Of images without WCS [arcsec/px].
        psf_pixel_scale: Of the PSF's image [arcsec/px].
        psf_hdu: Extension of the PSF's image, of several.
        psf_from_stars: FITS file to write: the PSF made of the image's stars, or `psf` fitted to
            them.
        members: Run only so many of the package's networks; None: all.
        population: Whether radii and indices are re-weighted to the population of the catalogue
            itself (package for any image).
        level: Coverage of the errors, 0.05 to 0.95.
        recalibration: Factors of the errors, from ``galadapt fit-check --recalibrate``.
        fast: Whether the refinement by the pixels is left out (package for any image).
        processes: Number of processes that cut stamps.
        output: Catalogue to write too (.fits, .csv, .parquet, .vot); an interrupted run with the
            same output continues where it stopped.
        plot: PNG to draw: image, model and residual of a sample.
        report: HTML page to write: table, pictures, distributions, and what to distrust.

    Returns:
        One row per object, in the order of the catalogue, with units, errors (``<name>_err``),
        ``flags`` and ``reason``; provenance and the meaning of the flags in ``meta``. Values have
        all their digits; astropy prints, and writes as text, six of them, three of errors.

    Raises:
        GaladaptError: something given is missing, broken, contradicting or unfit; the message
            names it and the remedy.
    """
    from galadapt.prediction.arguments import Inputs
    from galadapt.prediction.catalogue import as_table, for_reading
    from galadapt.prediction.fetched import locate
    from galadapt.prediction.predict import predict

    options = {
        "hdu": hdu,
        "zero_point": zero_point,
        "unit": unit,
        "native_pixel_scale": native_pixel_scale,
        "bad_bits": bad_bits,
        "invert_mask": mask_good or None,
    }
    with _folder() as folder:
        kinds = {"weight": weight, "rms": rms, "variance": variance}
        kinds |= {"exposure": exposure, "mask": mask}
        stamps, many = _stamp_set(images), _listed(images)
        paths = [] if stamps else [_image(one, folder, f"image{k}") for k, one in enumerate(many)]
        inputs = Inputs(
            images=[] if cutouts else paths,
            cutouts=paths if cutouts else [],
            stamps=stamps,
            catalog=None if catalogue is None else _table(catalogue, folder, "catalogue"),
            columns=columns or {},
            units=units or {},
            one_based=one_based,
            table=table,
            maps={
                kind: [_image(one, folder, f"{kind}{k}") for k, one in enumerate(_listed(given))]
                for kind, given in kinds.items()
            },
            psf=None if psf is None else _psf(psf, folder),
            psf_pixel_scale=psf_pixel_scale,
            psf_hdu=psf_hdu,
            psf_from_stars=_path(psf_from_stars),
            max_bad_fraction=max_bad_fraction,
            options={name: value for name, value in options.items() if value is not None},
            fill=fill,
            processes=processes,
        )
        measured = predict(
            package.folder if isinstance(package, Model) else locate(package),
            inputs,
            Path(output) if output is not None else folder / "measured.fits",
            level=level,
            members=members,
            population=population,
            fast=fast,
            plot=_path(plot),
            report=_path(report),
            recalibration=_path(recalibration),
        )
        notes = {str(name): value for name, value in measured.attrs.items()}
        return for_reading(as_table(measured, meta=notes))


@_in_python(model="package")
def load(package: File | None = None) -> Model:
    """Open a model package.

    Args:
        package: Folder of a package or name of a fetched one; None: the shipped one.

    Raises:
        DataError: there is none, or it is broken or of another version.
    """
    from galadapt.prediction.fetched import locate
    from galadapt.prediction.package import opened_package

    return Model(opened_package(locate(package)))


class Model:
    """A model package that is open; made by `load`."""

    def __init__(self, package: Package | GeneralPackage) -> None:
        """Take over an open `galadapt.prediction.package.Package`."""
        self._package = package

    @property
    def folder(self) -> Path:
        """Folder of the package."""
        return Path(self._package.folder)

    @property
    def name(self) -> str:
        """Name of the package: task/variant/method."""
        return str(self._package.record.name)

    @property
    def record(self) -> dict[str, Any]:
        """What the networks hold for and how accurate they are, as in ``package.json``."""
        return self._package.record.model_dump(mode="json")

    def __str__(self) -> str:
        from galadapt.prediction.describe import sheet

        return sheet(str(self.folder), self._package.record)

    def __repr__(self) -> str:
        return f"<galadapt.Model {self.name} in {self.folder}>"

    def measure(
        self,
        images: ImageLike | StampSet | Sequence[ImageLike],
        catalogue: TableLike | None = None,
        psf: PsfLike | None = None,
        **options: Any,
    ) -> Table:
        """Measure galaxies with this package; all arguments are those of `galadapt.measure`."""
        return measure(images, catalogue, psf, package=self, **options)


@_in_python(parameters="table", table="which")
def simulate(
    table: TableLike,
    *,
    psf: PsfLike | Literal["optical"] = "optical",
    psf_pixel_scale: float | None = None,
    psf_hdu: int = 0,
    noise: Literal["none", "wide", "deep", "ultradeep"] = "none",
    renderer: Literal["ktable", "ktable_jax", "galsim"] = "ktable",
    seed: int = 0,
    stamp_size: int = 128,
    pixel_scale: float = 0.06,
    zero_point: float = 25.9463,
    radius_convention: Literal["semimajor", "circularised"] = "semimajor",
    output: File | None = None,
    which: int | str | None = None,
) -> StampSet:
    """Render a list of galaxies with single Sersic profiles.

    Args:
        table: One galaxy a row: id, magnitude, effective_radius [px, semi-major], sersic_index,
            ellipticity (1 - b/a), position_angle [deg, from +y counter-clockwise]; x_offset and
            y_offset [px] of the centre may be left out.
        psf: FITS image or pixels (pixel included), or ``optical``: that of a telescope like HST.
        psf_pixel_scale: Of its image [arcsec/px]; None: `pixel_scale`.
        psf_hdu: Extension of its image, of several.
        noise: Depth of the noise: CANDELS wide or deep, or the ultra-deep field; none: no noise.
        renderer: ktable is exact and fast, galsim the slow reference.
        seed: Seed of the noise. A galaxy's noise depends on the seed and its id alone.
        stamp_size: Side of a stamp [px].
        pixel_scale: Of the stamps [arcsec/px].
        zero_point: AB magnitude of 1 e-/s.
        radius_convention: Convention of the radius that is stored; the list's is semi-major.
        output: Stamp set to write (.h5); None: a temporary file that lasts as long as the result.
        which: Number or name of the table, where its file holds several.

    Returns:
        The stamps: ``images()`` gives their pixels (n, y, x) [e-/s], ``table`` their rows.

    Raises:
        GaladaptError: a row, the PSF or an option is wrong; nothing is written.
    """
    from galadapt import __version__
    from galadapt.config.simulation import Noise
    from galadapt.simulation.user_list import simulate_list

    if seed < 0:
        raise ConfigError(f"--seed: must be at least 0, not {seed}; correct it")
    scale = pixel_scale if psf_pixel_scale is None else psf_pixel_scale
    with ExitStack() as temporary:
        folder = temporary.enter_context(_folder())
        optical = isinstance(psf, str) and psf == "optical"
        name = "optical" if optical else str(_psf(psf, folder))
        image, shape = _image_settings(stamp_size, pixel_scale, zero_point, name, scale, psf_hdu)
        settings = {
            "psf": name if isinstance(psf, str | Path) else "given as an array",
            "noise": noise,
            "renderer": renderer,
            "seed": seed,
            "stamp_size": stamp_size,
            "pixel_scale": pixel_scale,
            "zero_point": zero_point,
        }
        path = folder / "simulated.h5" if output is None else Path(output)
        simulate_list(
            parameters=_table(table, folder, "table"),
            output=path,
            image=image,
            psf=shape,
            noise=Noise(depth=noise),
            renderer=renderer,
            seed=seed,
            provenance={"settings": settings, "version": __version__},
            radius_convention=radius_convention,
            table=which,
        )
        stamps = StampSet(path)
        if output is None:
            weakref.finalize(stamps, temporary.pop_all().close)
    return stamps


def _image_settings(
    stamp_size: int, pixel_scale: float, zero_point: float, psf: str, psf_scale: float, hdu: int
) -> tuple[Image, OpticalPsf | FitsPsf]:
    """Check the options of an image and its PSF; a ConfigError names the one that is wrong."""
    from pydantic import ValidationError

    from galadapt.config.base import fault_of
    from galadapt.config.image import FitsPsf, Image, OpticalPsf

    try:
        image = Image(stamp_size=stamp_size, pixel_scale=pixel_scale, zero_point=zero_point)
        if psf == "optical":
            return image, OpticalPsf()
        return image, FitsPsf(path=psf, hdu=hdu, pixel_scale=psf_scale)
    except ValidationError as error:
        name, _, message = fault_of(error).partition(": ")
        raise ConfigError(f"--{name.replace('_', '-')}: {message}; correct it") from None


# --- objects as files -------------------------------------------------------------------------


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="galadapt-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _path(given: File | None) -> Path | None:
    return None if given is None else Path(given)


def _listed(given: Any) -> list[Any]:
    """Make a list of one or several images; an HDUList is one."""
    from astropy.io import fits

    several = isinstance(given, list | tuple) and not isinstance(given, fits.HDUList)
    return list(given) if several else [given]


def _stamp_set(images: Any) -> Path | None:
    if isinstance(images, StampSet):
        if len(images.paths) > 1:
            raise ConfigError("images: a stamp set of several files; give them one at a time")
        return images.paths[0]
    is_file = isinstance(images, str | Path) and Path(images).suffix == ".h5"
    return Path(images) if is_file else None


def _image(given: Any, folder: Path, name: str) -> Path:
    """Give an image as a file; objects are written into `folder`."""
    from astropy.io import fits

    if isinstance(given, str | Path):
        return Path(given)
    path = folder / f"{name}.fits"
    if isinstance(given, fits.HDUList):
        given.writeto(path)
    elif isinstance(given, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU):
        fits.PrimaryHDU(given.data, given.header).writeto(path)
    else:
        raise ConfigError(
            f"{name.rstrip('0123456789')}: a {type(given).__name__} is no image; give a FITS file, "
            "or astropy's HDU or HDUList with its header"
        )
    return path


def _psf(given: Any, folder: Path) -> Path:
    import numpy as np
    from astropy.io import fits

    if isinstance(given, np.ndarray):
        given = fits.PrimaryHDU(given.astype(np.float64))
    return _image(given, folder, "psf")


def _table(given: Any, folder: Path, name: str) -> Path:
    import pandas as pd
    from astropy.table import Table

    if isinstance(given, str | Path):
        return Path(given)
    if isinstance(given, pd.DataFrame):
        path = folder / f"{name}.parquet"
        given.to_parquet(path, index=False)
    elif isinstance(given, Table):
        # The one format that keeps units, masks and text as they are.
        path = folder / f"{name}.ecsv"
        given.write(path, format="ascii.ecsv")
    else:
        raise ConfigError(
            f"{name}: a {type(given).__name__} is no table; give a file, an astropy Table or a "
            "pandas DataFrame"
        )
    return path
