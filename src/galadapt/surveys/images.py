"""The user's own images as a survey field.

An image is copied band by band onto the experiment's pixel grid, zero point and unit; small images
of one object each are laid out as the cells of one mosaic. An object without labels keeps flag 0
and has NaN for each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError
from astropy.stats import mad_std
from photutils.aperture import CircularAnnulus, CircularAperture
from scipy.stats import spearmanr

from galadapt.config.image import Image
from galadapt.config.survey import ImagesSurvey, MapFile
from galadapt.core.errors import DataError
from galadapt.core.files import atomic, expand
from galadapt.core.log import log, progress
from galadapt.core.packed import fits_files, stem
from galadapt.core.photometry import known_rescaling, magnitude_of
from galadapt.core.quantity import PARAMETERS
from galadapt.core.random import generator
from galadapt.sky import Mosaic, Remarks, edge_level, open_mosaic
from galadapt.sky.catalogues import FLAG_NO_FIT, FLAG_SUSPICIOUS, locate, read_objects
from galadapt.sky.fits_files import open_fits, planes_of, unreadable
from galadapt.sky.matching import matched
from galadapt.surveys.field import Band, Field, tangent_wcs

_ORIGIN = "galadapt: the user's images"

_BAND = 256  #: rows of a mosaic that are copied at once
_FILL = 1  #: random stream purpose
_COMPARED = 200  #: objects whose flux is compared with their magnitude

#: Median difference of fluxes and magnitudes from which on there is a warning, an error [mag].
_OFFSET_WARNING, _OFFSET_ERROR = 0.5, 2.5

_HOPELESS = 20  #: so many cutouts without a usable one are enough

#: Scatter of fluxes about magnitudes from which on there is a warning [mag]; an error where the
#: magnitudes are also almost independent of the fluxes (rank correlation).
_SCATTER_WARNING, _SCATTER_ERROR, _UNRELATED = 0.4, 0.6, 0.5

#: Fewest objects, and least scatter of their magnitudes, for that [mag].
_TELLING, _RANGE = 8, 0.3


def make_images(
    survey: ImagesSurvey, image: Image, seed: int, field: Field, provenance: dict[str, Any]
) -> None:
    """Make a field from the user's files; the experiment's PSF must be that of the images.

    The seed draws the noise around cutouts (`survey.fill`). truth has a row per object: id, x, y
    [px of the mosaic], flag, labelled, source (file), filled; name, if the catalogue has one.

    Raises:
        DataError: a file is missing or broken, contradicts another, or lacks what cannot be
            guessed: unit, zero point, pixel scale, WCS.
    """
    path = expand(survey.catalog.path)
    objects = read_objects(
        path,
        **survey.catalog.model_dump(exclude={"path"}),
        pixel_scale=survey.native_pixel_scale or image.pixel_scale,
        galfit_labels=True,
        placed=survey.image is not None,
    )
    # Nothing takes its place before the fluxes are found to fit.
    with atomic(field.drz) as drz, atomic(field.wht) as wht:
        new = dataclasses.replace(field, drz=drz, wht=wht)
        if survey.image is not None:
            rows, placed = _copy(survey, image, objects, new)
        else:
            rows, placed = _lay_out(survey, image, objects, path, seed, new)
        _compare_fluxes(rows, image, new, path)
    about = f"objects of {path.name}, on images at zero point {image.zero_point:g}"
    if not placed:
        about += "; images without a common sky: ra and dec are places in the mosaic"
    kept = ["id", "name", "x", "y", "flag", "labelled", "source", "filled"]
    truth = rows[[name for name in kept if name in rows]]
    field.write_tables(rows, truth, about, provenance)


def _options(survey: ImagesSurvey, image: Image) -> dict[str, Any]:
    return {
        "pixel_scale": image.pixel_scale,
        "native_pixel_scale": survey.native_pixel_scale,
        "zero_point": survey.zero_point,
        "unit": survey.unit,
        "bad_bits": survey.bad_bits,
    }


def _brightening(mosaic: Mosaic, image: Image) -> float:
    """Factor that brings the image's pixels to the experiment's zero point."""
    return known_rescaling(mosaic.zero_point, image.zero_point, mosaic.path, "survey.zero_point")


def _with_flags(objects: pd.DataFrame) -> pd.DataFrame:
    """Objects with every label; those the catalogue has none of are NaN."""
    absent = dict.fromkeys((*PARAMETERS, "position_angle", "sn"), np.nan) | {"flag": 0}
    rows = objects.assign(**{name: absent[name] for name in absent if name not in objects})
    rows["labelled"] = rows[list(PARAMETERS)].notna().all(axis=1)
    return rows


def _copy(
    survey: ImagesSurvey, image: Image, objects: pd.DataFrame, field: Field
) -> tuple[pd.DataFrame, bool]:
    """Copy an image onto the experiment's grid; returns the objects and whether it has a sky."""
    assert survey.image is not None
    path = expand(survey.image.path)
    options = _options(survey, image) | {"hdu": survey.hdu}
    for name in ("weight", "rms", "variance", "exposure", "mask"):
        given: MapFile | None = getattr(survey, name)
        if given is not None:
            options[name] = expand(given.path)
    if survey.mask is not None:
        options["invert_mask"] = survey.mask.invert
    with open_mosaic(path, **options) as mosaic:
        factor = _brightening(mosaic, image)
        rows = _with_flags(objects)
        rows["x"], rows["y"] = locate(objects, mosaic)
        rows["source"], rows["filled"] = path.name, False
        wcs = mosaic.wcs() or tangent_wcs(mosaic.shape, image.pixel_scale)
        if not mosaic.has_wcs:
            rows["ra"], rows["dec"] = wcs.pixel_to_world_values(rows["x"], rows["y"])
        elif "ra" not in rows:
            rows["ra"], rows["dec"] = mosaic.sky(rows["x"], rows["y"])
        rows.loc[rows["x"].isna(), "flag"] = FLAG_NO_FIT
        ny, nx = mosaic.shape

        def bands() -> Iterator[Band]:
            for y in range(0, ny, _BAND):
                data, weight = mosaic.read(y, min(y + _BAND, ny), 0, nx)
                yield data * np.float32(factor), weight / np.float32(factor**2)

        steps = progress(bands(), -(-ny // _BAND), "images survey", "bands")
        field.write_images(mosaic.shape, wcs, image, mosaic.exposure_time, _ORIGIN, steps)
        return rows, mosaic.has_wcs


@dataclass(frozen=True)
class _Cutout:
    """A small image."""

    path: Path
    name: str  #: among the others
    called: str  #: in messages


@contextlib.contextmanager
def _cutouts(path: Path) -> Iterator[list[_Cutout]]:
    """List the small images of a folder, or of a file of extensions or planes.

    The latter are written to files of their own: opening one of ten thousand extensions means
    reading as many headers.
    """
    if path.is_dir():
        files = fits_files(path, "the cutouts")
        yield [_Cutout(file, stem(file.name), str(file)) for file in files]
        return
    if not path.is_file():
        raise DataError(f"{path}: no such cutouts; give a folder of FITS files or a FITS file")
    with tempfile.TemporaryDirectory(prefix="galadapt-") as folder:
        found = _split(path, Path(folder))
        if not found:
            raise DataError(f"{path}: holds no image; give a folder of FITS files or a FITS file")
        yield found


def _split(path: Path, folder: Path) -> list[_Cutout]:
    """Write every plane of a file, or of its cubes where it has no plane, to a file."""
    found: list[_Cutout] = []

    def write(plane: np.ndarray, header: fits.Header, name: str, called: str) -> None:
        file = folder / f"{len(found)}.fits"
        fits.PrimaryHDU(plane, header).writeto(file, output_verify="silentfix+ignore")
        found.append(_Cutout(file, name, f"{path} {called}"))

    with contextlib.ExitStack() as stack:
        hdus = open_fits(stack, path, "cutouts")
        planes = planes_of(hdus)
        cubes = [] if planes else [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) == 3]
        try:
            for hdu in planes:
                number = hdus.index(hdu)
                write(hdu.data, hdu.header, hdu.name or str(number), f"extension {number}")
            for hdu in cubes:
                header = hdu.header.copy()
                for card in [card for card in header if card.endswith("3")]:
                    del header[card]
                for number, plane in enumerate(hdu.data):
                    called = f"extension {hdus.index(hdu)} plane {number}"
                    write(plane, header, str(number), called)
        except (OSError, ValueError, TypeError) as error:
            raise unreadable(path, error) from None
    return found


def _matched(
    found: list[_Cutout], objects: pd.DataFrame, by_order: bool, path: Path
) -> list[_Cutout]:
    """The cutout of each object: by name, by number, or in their order where that is asked for."""
    if by_order:
        if len(found) != len(objects):
            raise DataError(
                f"{path}: {len(objects)} objects for {len(found)} cutouts; by_order needs one row "
                "for each"
            )
        return found
    names = [cut.name for cut in found]
    mapped = "name" in objects
    wanted = [stem(name) for name in objects["name" if mapped else "id"].astype(str)]
    places = matched(wanted, names)
    if places is not None:
        log.info(
            f"images survey: {len(wanted)} objects matched to cutouts by "
            f"{'name' if mapped else 'id'}: {wanted[0]} is {names[places[0]]}"
        )
        return [found[place] for place in places]
    absent = [name for name in wanted if name not in names] or wanted
    raise DataError(
        f"{path}: {len(absent)} of {len(wanted)} objects have no cutout of their name or number, "
        f"the first '{absent[0]}' (the first cutout is '{names[0]}'); name the files in a column "
        "(columns: name), or set by_order if they are in the order of the rows"
    )


def _lay_out(
    survey: ImagesSurvey,
    image: Image,
    objects: pd.DataFrame,
    catalog: Path,
    seed: int,
    field: Field,
) -> tuple[pd.DataFrame, bool]:
    """Lay cutouts out as the cells of a mosaic, one row of cells after the other."""
    assert survey.cutouts is not None
    cell = 2 * image.stamp_size
    rows = _with_flags(objects)
    placed: list[tuple[float, float, float, bool, bool]] = []
    unusable: list[str] = []
    with _cutouts(expand(survey.cutouts.path)) as found:
        cutouts = _matched(found, objects, survey.by_order, catalog)
        options, remark = _options(survey, image), Remarks()

        def draw(row: int) -> Band:
            empty = np.zeros((cell, cell), np.float32)
            if row >= len(objects):
                return empty, empty
            rng, one = generator(seed, _FILL, row), rows.iloc[row]
            try:
                data, weight, x, y, angle, filled = _cell(
                    cutouts[row], survey.fill, options, image, one, rng, remark
                )
            except DataError as error:
                unusable.append(str(error))
                # What is wrong with so many is wrong with all.
                if len(unusable) == len(placed) + 1 == _HOPELESS:
                    raise DataError(unusable[0]) from None
                placed.append((cell / 2, cell / 2, 0.0, False, False))
                return empty, empty
            placed.append((x, y, angle, filled, True))
            return data, weight

        wcs, corners = field.write_cells(len(objects), image, None, _ORIGIN, draw)
        rows["source"] = [cut.name for cut in cutouts]
    rows["x"], rows["y"], rows["position_angle"], rows["filled"], used = zip(*placed, strict=True)
    rows[["x", "y"]] += corners
    usable = np.array(used)
    if not usable.any():
        raise DataError(unusable[0])
    if unusable:
        log.info(f"images survey: {len(unusable)} cutouts get flag 3, the first as {unusable[0]}")
    rows["flag"] = np.maximum(rows["flag"], np.where(rows["filled"], FLAG_SUSPICIOUS, 0))
    rows["flag"] = np.maximum(rows["flag"], np.where(usable, 0, FLAG_NO_FIT))
    rows["ra"], rows["dec"] = wcs.pixel_to_world_values(rows["x"], rows["y"])
    return rows, False


def _cell(
    cutout: _Cutout,
    fill: bool,
    options: dict[str, Any],
    image: Image,
    row: pd.Series,
    rng: np.random.Generator,
    remark: Callable[[str], None],
) -> tuple[np.ndarray, np.ndarray, float, float, float, bool]:
    """One cell: data, weight (cell, cell); the object's place in it and angle; whether filled.

    Raises:
        DataError: this cutout cannot be used.
    """
    cell = 2 * image.stamp_size

    def named(message: str) -> str:
        return message.replace(str(cutout.path), cutout.called)

    try:
        with open_mosaic(
            cutout.path, **options, remark=lambda message: remark(named(message))
        ) as mosaic:
            factor = _brightening(mosaic, image)
            measured = mosaic.noise_is_measured
            small, small_weight = mosaic.read()
            x, y = _centre(mosaic, row)
            angle = float(row["position_angle"])
            if mosaic.has_wcs and "ra" in row and np.isfinite(angle):
                angle = float(mosaic.angle([row["ra"]], [row["dec"]], np.array([angle]))[0])
    except DataError as error:
        raise DataError(named(str(error))) from None
    small, small_weight = small * np.float32(factor), small_weight / np.float32(factor**2)
    # The object's pixel becomes the cell's middle one.
    pixel = round(x), round(y)
    try:
        data, weight = (
            Cutout2D(plane, pixel, cell, mode="partial", fill_value=0).data
            for plane in (small, small_weight)
        )
    except NoOverlapError:
        raise DataError(f"{cutout.called}: the object lies outside of its cutout") from None
    good = weight > 0
    if not good.any():
        raise DataError(f"{cutout.called}: no pixel has data")
    half = image.stamp_size // 2 + 1
    middle = np.s_[cell // 2 - half : cell // 2 + half, cell // 2 - half : cell // 2 + half]
    filled = fill and not good[middle].all()
    if measured or fill:
        # The galaxy may fill its cutout: the outermost pixels have most of the sky. Its light
        # there counts as noise.
        sky, rms = edge_level(data, good, min(small.shape))
        if not rms > 0:
            raise DataError(f"{cutout.called}: no noise can be measured, as its edge is constant")
    if measured:
        weight[good] = rms**-2
    if fill:
        data[~good] = rng.normal(sky, rms, int((~good).sum()))
        weight[~good] = rms**-2
    return data, weight, x - pixel[0] + cell // 2, y - pixel[1] + cell // 2, angle, filled


def _centre(mosaic: Mosaic, row: pd.Series) -> tuple[float, float]:
    """The object in its cutout: by pixel, by the sky where it is inside, else the centre."""
    ny, nx = mosaic.shape
    if "x" in row and np.isfinite(row["x"]):
        x, y = mosaic.regrid(row["x"], row["y"])
        return float(x), float(y)
    if mosaic.has_wcs and "ra" in row and np.isfinite(row["ra"]):
        x, y = mosaic.positions(row["ra"], row["dec"])
        if 0 <= x < nx and 0 <= y < ny:
            return float(x), float(y)
        raise DataError(f"{mosaic.path}: the object lies outside of its cutout; check their order")
    return (nx - 1) / 2, (ny - 1) / 2


def _compare_fluxes(rows: pd.DataFrame, image: Image, field: Field, catalog: Path) -> None:
    """Compare fluxes with the catalogue's magnitudes: a wrong unit or zero point shows here."""
    bright = rows[(rows["flag"] == 0) & rows["labelled"] & rows["x"].notna()]
    bright = bright.nsmallest(_COMPARED, "magnitude")
    offsets, magnitudes = [], []
    with open_mosaic(field.drz, field.wht) as mosaic:
        ny, nx = mosaic.shape
        columns = [bright[n].to_numpy(float) for n in ("x", "y", "effective_radius", "magnitude")]
        for x, y, half_light, magnitude in zip(*columns, strict=True):
            radius = float(np.clip(3 * half_light / image.pixel_scale, 5, 40))
            reach = int(1.5 * radius) + 4
            x0, y0 = round(x) - reach, round(y) - reach
            x1, y1 = x0 + 2 * reach + 1, y0 + 2 * reach + 1
            if x0 < 0 or y0 < 0 or x1 > nx or y1 > ny:
                continue
            data, weight = mosaic.read(y0, y1, x0, x1)
            around = CircularAnnulus((x - x0, y - y0), radius, 1.5 * radius).to_mask(
                method="center"
            )
            sky = around.get_values(data, mask=weight == 0)
            aperture = CircularAperture((x - x0, y - y0), radius)
            lost = aperture.to_mask(method="center").get_values(np.where(weight == 0, 1.0, 0.0))
            if lost.any() or len(sky) < 10:
                continue
            light = float(aperture.do_photometry(data - np.median(sky))[0][0])
            if light > 0:
                offsets.append(magnitude_of(light, image.zero_point) - magnitude)
                magnitudes.append(magnitude)
    if len(offsets) < 5:
        return
    offset = float(np.median(offsets))
    what = (
        f"the {len(offsets)} brightest objects are {abs(offset):.2f} mag "
        f"{'fainter' if offset > 0 else 'brighter'} in the image than in the catalogue"
    )
    if abs(offset) > _OFFSET_ERROR:
        raise DataError(f"{catalog}: {what}; correct survey.unit or survey.zero_point")
    if abs(offset) > _OFFSET_WARNING:
        log.info(f"images survey: {what}; check unit, zero point and band")
    _check_scatter(np.array(offsets), np.array(magnitudes), catalog)


def _check_scatter(offsets: np.ndarray, magnitudes: np.ndarray, catalog: Path) -> None:
    """Compare the order of fluxes with that of magnitudes: labels of other objects show here."""
    scatter = float(mad_std(offsets))
    if len(offsets) < _TELLING or scatter < _SCATTER_WARNING or mad_std(magnitudes) < _RANGE:
        return
    related = float(spearmanr(magnitudes, magnitudes + offsets).statistic)
    what = (
        f"fluxes of {len(offsets)} objects scatter by {scatter:.2f} mag about the catalogue's "
        f"magnitudes (rank correlation {related:.2f})"
    )
    if scatter > _SCATTER_ERROR and related < _UNRELATED:
        raise DataError(
            f"{catalog}: {what}: labels and images do not belong together; check how they are "
            "matched (columns: name, by_order, ra and dec)"
        )
    log.info(f"images survey: {what}; check how labels and images are matched")
