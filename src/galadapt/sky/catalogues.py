"""Catalogues of objects, whatever their format and their columns' names.

`read_objects` gives one row per object under galadapt's names and units, `read_galfit` the
catalogues of van der Wel et al.; `locate` finds objects on an image, and explains
why they are not there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from astropy import units as u

from galadapt.core.errors import ConfigError, DataError
from galadapt.core.log import log
from galadapt.core.quantity import PARAMETERS
from galadapt.core.tables import bare_name, in_unit, read_any_table
from galadapt.sky import Mosaic
from galadapt.sky.tables import given_unit, numbers, sky_angles

#: Flags of van der Wel et al. (2012), section 3.
FLAG_GOOD, FLAG_SUSPICIOUS, FLAG_BAD, FLAG_NO_FIT = range(4)

#: Columns found without a mapping, compared without case, the most specific name first. Labels
#: are never guessed: "mag" may be of any band and any aperture.
AUTOMATIC = {
    "id": (
        *("NUMBER", "ID", "IDENT", "OBJID", "OBJECT_ID", "SOURCE_ID", "SOURCEID", "OBJNO", "SEQ"),
        *("NUM", "LABEL", "OBJECTID", "TARGETID", "RECNO", "ID_OBJ", "OBJ_ID"),
    ),
    "name": ("NAME", "OBJECT", "OBJNAME"),
    "ra": (
        *("RA", "RAJ2000", "RA_J2000", "ALPHA_J2000", "ALPHAWIN_J2000", "ALPHAPEAK_J2000"),
        *("RA_ICRS", "ALPHA_SKY", "_RAJ2000", "_RA", "_RA.icrs", "RADEG", "RA_DEG", "RA(DEG)"),
        *("COORD_RA", "RIGHT_ASCENSION", "RIGHTASCENSION", "RIGHT ASCENSION", "RAMEAN", "RA_OBJ"),
        *("TARGET_RA", "RA_TARG", "ALPHA", "RAICRS", "RAHMS", "RA_HMS", "RA (J2000)"),
    ),
    "dec": (
        *("DEC", "DEJ2000", "DECJ2000", "DEC_J2000", "DELTA_J2000", "DELTAWIN_J2000"),
        *("DELTAPEAK_J2000", "DE_ICRS", "DEC_ICRS", "DELTA_SKY", "_DEJ2000", "_DE", "_DE.icrs"),
        *("DEDEG", "DECDEG", "DEC_DEG", "DEC(DEG)"),
        *("COORD_DEC", "DECLINATION", "DECMEAN", "DEC_OBJ", "TARGET_DEC", "DEC_TARG", "DELTA"),
        *("DEICRS", "DECICRS", "DEDMS", "DECDMS", "DEC_DMS", "DEC (J2000)"),
    ),
    "x": (
        *("X_IMAGE", "XWIN_IMAGE", "XPEAK_IMAGE", "XCENTROID", "X_CENTROID", "X_FIT", "X"),
        *("XCEN", "X_CEN", "XCENTER", "X_CENTER", "X_PIX", "XPIX"),
    ),
    "y": (
        *("Y_IMAGE", "YWIN_IMAGE", "YPEAK_IMAGE", "YCENTROID", "Y_CENTROID", "Y_FIT", "Y"),
        *("YCEN", "Y_CEN", "YCENTER", "Y_CENTER", "Y_PIX", "YPIX"),
    ),
}

#: The same by the meaning of columns (UCD), the most specific first.
_UCDS = {
    "id": ("meta.id;meta.main", "id_main"),
    "ra": ("pos.eq.ra;meta.main", "pos_eq_ra_main", "pos.eq.ra"),
    "dec": ("pos.eq.dec;meta.main", "pos_eq_dec_main", "pos.eq.dec"),
}

#: Columns whose first pixel is 1, as SExtractor and FITS count.
_ONE_BASED = frozenset(
    f"{axis}{kind}_IMAGE" for axis in "XY" for kind in ("", "WIN", "PEAK", "_DBL", "MAX", "MIN")
)

#: Everything that can be mapped. `axis_ratio` becomes ellipticity.
LABELS = (*PARAMETERS, "axis_ratio", "position_angle", "flag", "sn")
ERRORS = tuple(f"{name}_error" for name in (*PARAMETERS, "axis_ratio"))
NAMES = (*AUTOMATIC, *LABELS, *ERRORS)

#: Unit each column is turned into, and what a column without a unit is taken for. A radius without
#: unit is refused: arcsec and pixels are both common.
_UNITS: dict[str, tuple[u.UnitBase, u.UnitBase | None]] = {
    **dict.fromkeys(("ra", "dec", "position_angle", "position_angle_error"), (u.deg, u.deg)),
    **dict.fromkeys(("x", "y"), (u.pix, u.pix)),
    **dict.fromkeys(("effective_radius", "effective_radius_error"), (u.arcsec, None)),
}

#: What may stand behind all whole numbers of a column of text: programs write 7 as 7.0.
_ENDS = ("", r"\.0")

#: Numbers that stand for no position.
_NO_POSITION = (-99, -999, -9999, -99999)

_NONE = -90.0  #: at and below this a value stands for "none": -99, -999 and their kin

#: Columns of the catalogues of van der Wel et al. by our names: first as their text calls them
#: (2014), then as VizieR does (2012; J/ApJS/203/24), the most specific first. Case matters.
GALFIT = {
    "id": ("NUMBER", "Seq", "ID", "Num", "id", "recno"),
    "ra": ("RA", "RAJ2000", "RAdeg", "_RAJ2000", "_RA", "RA_ICRS", "ra"),
    "dec": ("DEC", "DEJ2000", "DEdeg", "_DEJ2000", "_DE", "DE_ICRS", "Dec", "dec"),
    "flag": ("f", "Q", "Flag", "flag", "Fl"),
    "magnitude": ("mag", "Hmag"),
    "magnitude_error": ("dmag", "e_mag", "e_Hmag"),
    "effective_radius": ("re", "r", "Re", "Rad"),
    "effective_radius_error": ("dre", "e_re", "e_r", "e_Re", "e_Rad"),
    "sersic_index": ("n",),
    "sersic_index_error": ("dn", "e_n"),
    "axis_ratio": ("q", "b/a"),
    "axis_ratio_error": ("dq", "e_q", "e_b/a"),
    "position_angle": ("pa", "PA"),
    "position_angle_error": ("dpa", "e_pa", "e_PA"),
    "sn": ("sn", "S/N", "SNR", "S_N"),
}

#: Those that are read unmapped, as printed.
_GALFIT_LABELS = {name: GALFIT[name][0] for name in (*LABELS, *ERRORS) if name in GALFIT}

#: Of VizieR's rows for three filters: the column of the filter, and the names of F160W.
_FILTER, _F160W = "F", ("H", "F160W")


def read_objects(
    path: str | Path,
    columns: Mapping[str, str] = MappingProxyType({}),
    *,
    units: Mapping[str, str] = MappingProxyType({}),
    one_based: bool | None = None,
    pixel_scale: float | None = None,
    galfit_labels: bool = False,
    placed: bool = True,
    table: int | str | None = None,
    whole: bool = True,
) -> pd.DataFrame:
    """Read a catalogue: FITS, VOTable, Parquet, ECSV, CSV, tab-separated, SExtractor's or GALFIT's.

    Args:
        columns: Names of its columns by galadapt's names (`NAMES`). Positions and identifiers have
            usual names that need no mapping; labels do.
        units: Units by galadapt's names, where the catalogue gives none or a wrong one: "deg",
            "hourangle", "rad", "arcsec", "pix".
        one_based: Whether the first pixel is 1; None to decide by the columns' names (X_IMAGE is
            1-based, any other name 0-based).
        pixel_scale: Of the pixels that radii may be given in [arcsec/px].
        galfit_labels: Whether the labels of a catalogue of van der Wel et al. are read unmapped.
        placed: Whether positions are required.
        table: Number or name of the table, where a file holds several.
        whole: False for a piece of a catalogue: an identifier may stand twice, and no position be
            usable.

    Returns:
        A row per object: id (int64); name, if the identifiers are text or a column is mapped to it;
        ra, dec [deg] or, if these
        are absent or x and y are mapped, x, y [px of the image's file, 0-based]; and what is
        mapped: magnitude [mag], effective_radius [arcsec, semi-major], sersic_index, ellipticity,
        their errors, position_angle [deg], flag, sn. Positions that are no numbers, out of range
        or a placeholder such as -999 are NaN. Labels likewise; with labels, flag is 3 (no fit)
        where one of them is missing. Its `attrs` contain whether the objects are "numbered",
        as there is no column of identifiers.

    Raises:
        ConfigError: `columns` or `units` names something unknown.
        DataError: the file is missing, empty or not a catalogue; a column is missing or holds
            text; an identifier stands twice; no position is usable; a unit is missing or wrong.
    """
    path = Path(path)
    for what, given, known in (("columns", columns, NAMES), ("units", units, tuple(_UNITS))):
        for name in given:
            if name not in known:
                raise ConfigError(f"--{what}: unknown name '{name}'; known are {', '.join(known)}")
    if "axis_ratio" in columns and "ellipticity" in columns:
        raise ConfigError("--columns: axis_ratio and ellipticity are given; give one of them")
    usual = {name.upper() for names in AUTOMATIC.values() for name in names}
    # Identifiers that look like numbers may not be: 00007, 12.10.
    names = {name.upper() for kind in ("id", "name") for name in AUTOMATIC[kind]}
    names |= {columns[kind].upper() for kind in ("id", "name") if kind in columns}
    rows, written = read_any_table(
        path,
        usual | {name.upper() for name in columns.values()},
        text=names,
        which=table,
    )
    unmapped = galfit_labels and not set(columns) & set(LABELS)
    if unmapped and set(_GALFIT_LABELS.values()) <= set(rows):
        columns = {**_GALFIT_LABELS, **columns}
        units = {"effective_radius": "arcsec", "effective_radius_error": "arcsec", **units}
    chosen = _chosen(rows.columns.tolist(), rows.attrs["ucds"], columns, placed, path)
    found: dict[str, Any] = _identifiers(rows, chosen, path, whole)
    if "name" in columns:
        found["name"] = _names(rows[chosen["name"]], path)
    values = {}
    for name, column in chosen.items():
        if name not in ("id", "name"):
            unit = given_unit(units[name], name) if name in units else None
            unit = unit or written.get(column)
            if name == "ra" and name not in units and unit == u.deg:
                _check_hours(rows[column], path)
            values[name] = _values(rows[column], name, unit, pixel_scale, path)
    found.update(_positions(values, chosen, columns, one_based, path, whole))
    found.update(_labels(values, path))
    objects = pd.DataFrame(found)
    objects.attrs["numbered"] = "id" not in chosen and "name" not in chosen
    return objects


def read_galfit(path: str | Path) -> pd.DataFrame:
    """Read a catalogue of van der Wel et al., as text or in any form VizieR gives.

    Absurd values are kept, and identifiers that stand twice: several fields may be in one file.

    Returns:
        The names of `GALFIT`, ellipticity instead of axis_ratio; id and flag as integers, the
        rest float64. What is empty or -999 is NaN; an empty flag is 3, no fit.

    Raises:
        DataError: the file is missing, is not such a catalogue, lacks a column or has no row of
            F160W; a value is not a number, or NUMBER or f is not an integer.
    """
    path = Path(path)
    known = {name.upper() for names in GALFIT.values() for name in names}
    table, units = read_any_table(path, known)
    if _FILTER in table and not pd.api.types.is_numeric_dtype(table[_FILTER]):
        wanted = table[_FILTER].str.strip().isin(_F160W)
        if not wanted.any():
            raise DataError(
                f"{path}: no row of filter {_F160W[0]} (F160W) in the column '{_FILTER}'; fetch "
                "the catalogue of F160W"
            )
        table = table[wanted].reset_index(drop=True)
    chosen = {
        name: next((alias for alias in aliases if alias in table), "")
        for name, aliases in GALFIT.items()
    }
    absent = [GALFIT[name][0] for name, column in chosen.items() if not column]
    if absent:
        raise DataError(
            f"{path}: catalogue lacks the column(s) {', '.join(absent)}; name them in the # "
            "header, or fetch all its columns"
        )
    found = {}
    for name, column in chosen.items():
        usual = u.arcsec if name.startswith("effective_radius") else None
        found[name] = _values(table[column], name, units.get(column, usual), None, path)
    found["flag"] = np.where(np.isnan(found["flag"]), FLAG_NO_FIT, found["flag"])
    for name in ("id", "flag"):
        if not np.array_equal(found[name], np.round(found[name])):
            raise DataError(f"{path}: column '{chosen[name]}' must hold integers; repair it")
        found[name] = found[name].astype(np.int64)
    found["ellipticity"] = 1 - found.pop("axis_ratio")
    found["ellipticity_error"] = found.pop("axis_ratio_error")
    return pd.DataFrame(found)


def locate(
    objects: pd.DataFrame, mosaic: Mosaic, must_lie_inside: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Find the objects of `read_objects` on an image.

    Returns:
        x, y [output px of the mosaic, 0-based]; NaN for objects without a position.

    Raises:
        DataError: no object is on the image though one must be, or the image has no WCS and the
            objects no pixels.
    """
    ny, nx = mosaic.shape

    def count(x: np.ndarray, y: np.ndarray) -> int:
        with np.errstate(invalid="ignore"):
            return int(((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)).sum())

    if "x" in objects:
        x, y = mosaic.regrid(objects["x"], objects["y"])
        if must_lie_inside and count(x, y) == 0:
            raise DataError(
                f"{mosaic.path}: all {len(objects)} objects lie outside the image of "
                f"{mosaic.native_shape[1]} x {mosaic.native_shape[0]} px; check that catalogue and "
                "image belong together"
            )
        return x, y
    ra, dec = objects["ra"].to_numpy(), objects["dec"].to_numpy()
    x, y = mosaic.positions(ra, dec)
    if count(x, y) or not must_lie_inside:
        return x, y
    mistakes = {
        "ra and dec swapped: exchange the two in --columns": (dec, ra),
        "ra in hours: give --units ra=hourangle": (ra * 15, dec),
        "ra and dec in radians: give --units ra=rad dec=rad": (np.degrees(ra), np.degrees(dec)),
    }
    outside = f"{mosaic.path}: all {len(objects)} objects lie outside the image"
    for mistake, corrected in mistakes.items():
        if count(*mosaic.positions(*corrected)):
            raise DataError(f"{outside}; they would be inside with {mistake}")
    middle = mosaic.sky((nx - 1) / 2, (ny - 1) / 2)
    raise DataError(
        f"{outside}; the image's centre is at ra {float(middle[0]):.4f}, dec "
        f"{float(middle[1]):.4f}, the catalogue's median at ra {np.nanmedian(ra):.4f}, dec "
        f"{np.nanmedian(dec):.4f}; check that catalogue and image belong together"
    )


def _chosen(
    names: list[str],
    ucds: Mapping[str, str],
    columns: Mapping[str, str],
    placed: bool,
    path: Path,
) -> dict[str, str]:
    """The catalogue's column for each of galadapt's names."""
    upper = {bare_name(name)[0].upper(): name for name in reversed(names)}
    upper |= {name.upper(): name for name in reversed(names)}
    listed = f"it has {', '.join(names[:30])}"
    listed += f" and {len(names) - 30} more" if len(names) > 30 else ""
    chosen: dict[str, str] = {}
    for name, column in columns.items():
        actual = column if column in names else upper.get(column.upper())
        if actual is None:
            near = difflib.get_close_matches(column, names, 1, 0.6)
            hint = f"did you mean '{near[0]}'" if near else listed
            raise DataError(f"{path}: has no column '{column}' for {name}; {hint}")
        chosen[name] = actual
    for name, known in AUTOMATIC.items():
        if name not in chosen:
            found = next((upper[one.upper()] for one in known if one.upper() in upper), None)
            found = found or _by_ucd(names, ucds, _UCDS.get(name, ()))
            if found is not None:
                chosen[name] = found
    for first, second in (("ra", "dec"), ("x", "y")):
        if (first in chosen) != (second in chosen):
            lacking = second if first in chosen else first
            if lacking in columns or {first, second} & set(columns):
                raise DataError(f"{path}: no column for {lacking}; name it in --columns; {listed}")
            chosen.pop(first, None)
            chosen.pop(second, None)
    if placed and "ra" not in chosen and "x" not in chosen:
        raise DataError(
            f"{path}: no columns for ra and dec or x and y; name them in --columns; {listed}"
        )
    return chosen


def _by_ucd(names: list[str], ucds: Mapping[str, str], wanted: Sequence[str]) -> str | None:
    """The only column of a meaning; None where there is none, or several."""
    for ucd in wanted:
        found = [name for name in names if ucds.get(name) == ucd]
        if len(found) == 1:
            return found[0]
    return None


def _names(values: pd.Series, path: Path) -> np.ndarray:
    """Names as text; a DataError where one is missing."""
    empty = values.isna() | (values.astype(str).str.strip() == "")
    if empty.any():
        raise DataError(
            f"{path}: row {int(np.argmax(empty)) + 1} has no {values.name}; give every object its "
            "own"
        )
    return values.astype(str).str.strip().to_numpy()


def _identifiers(
    table: pd.DataFrame, chosen: Mapping[str, str], path: Path, whole_catalogue: bool
) -> dict[str, np.ndarray]:
    count = np.arange(1, len(table) + 1)
    column = chosen.get("id", chosen.get("name"))
    if column is None:
        log.info(f"{path}: no column for id; objects are numbered from 1")
        return {"id": count}
    values = table[column]
    texts = pd.Series(_names(values, path), name=column)
    if column in table.attrs["as_text"] or not pd.api.types.is_numeric_dtype(values):
        # What is written as whole numbers without a type is meant as such.
        whole = any(texts.str.fullmatch(rf"(0|-?[1-9][0-9]{{0,17}}){end}").all() for end in _ENDS)
        typed = column not in table.attrs["as_text"]
        values = texts if typed or not whole else texts.str.split(".").str[0].astype(np.int64)
    # Beyond this a float cannot represent every integer.
    if values.dtype.kind == "f" and (values == values.round()).all() and values.abs().max() < 2**53:
        values = values.astype(np.int64)
    twice = values[values.duplicated(keep=False)]
    if len(twice) and whole_catalogue:
        times = int((twice == twice.iloc[0]).sum())
        shown = f"{twice.iloc[0]:g}" if values.dtype.kind == "f" else twice.iloc[0]
        raise DataError(f"{path}: {column} {shown} stands {times} times; give every object its own")
    if values.dtype.kind in "iu" and values.max() <= np.iinfo(np.int64).max:
        return {"id": values.to_numpy(np.int64)}
    return {"id": count, "name": values.astype(str).to_numpy()}


def _values(
    column: pd.Series, name: str, unit: u.UnitBase | None, pixel_scale: float | None, path: Path
) -> np.ndarray:
    """Values of a column in galadapt's unit; what stands for "no value" is NaN."""
    if name in ("ra", "dec") and not pd.api.types.is_numeric_dtype(column):
        return sky_angles(column, name, unit, path)
    values = numbers(column, name, path)
    if name in ("ra", "dec"):
        # A declination of -7920 arcsec is one.
        none = np.isin(values, _NO_POSITION)
    else:
        none = (values == -99) | (values <= -990)
    values = np.where(np.isfinite(values) & ~none, values, np.nan)
    wanted, usual = _UNITS.get(name, (None, None))
    if wanted is None:
        return values
    unit = unit or usual
    if unit is None:
        raise DataError(
            f"{path}: column '{column.name}' has no unit; give in --units whether {name} is in "
            "arcsec or pix"
        )
    return values * in_unit(unit, wanted, pixel_scale, str(column.name), path)


def _check_hours(column: pd.Series, path: Path) -> None:
    """Refuse right ascensions with minutes in a column said to be in degrees: hours are usual."""
    if not pd.api.types.is_numeric_dtype(column) and column.astype(str).str.contains(":").any():
        raise DataError(
            f"{path}: column '{column.name}' is said to be in deg but holds '{column.iloc[0]}'; "
            "give in --units whether ra is in hourangle or deg"
        )


def _positions(
    values: Mapping[str, np.ndarray],
    chosen: Mapping[str, str],
    columns: Mapping[str, str],
    one_based: bool | None,
    path: Path,
    whole: bool,
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    if "ra" in values:
        ra, dec = values["ra"], values["dec"]
        if (np.abs(dec) > 90).any() and not (np.abs(ra) > 90).any():
            raise DataError(
                f"{path}: {chosen['dec']} holds {dec[np.abs(dec) > 90][0]:g} deg and "
                f"{chosen['ra']} nothing beyond 90; ra and dec are swapped: exchange them in "
                "--columns"
            )
        good = (np.abs(dec) <= 90) & (ra >= -180) & (ra <= 360)
        _report_lost(path, good, "a position on the sky", whole)
        found["ra"] = np.where(good, np.where(ra < 0, ra + 360, ra), np.nan)
        found["dec"] = np.where(good, dec, np.nan)
    if "x" in values and ("ra" not in values or "x" in columns):
        good = np.isfinite(values["x"]) & np.isfinite(values["y"])
        _report_lost(path, good, "a pixel position", whole)
        for name in ("x", "y"):
            first = chosen[name].upper() in _ONE_BASED if one_based is None else one_based
            found[name] = np.where(good, values[name] - (1.0 if first else 0.0), np.nan)
    return found


def _report_lost(path: Path, good: np.ndarray, what: str, whole: bool) -> None:
    if not good.any() and whole:
        raise DataError(
            f"{path}: none of {len(good)} objects has {what}; check the columns and their units"
        )
    if not good.all():
        log.info(f"{path}: {int((~good).sum())} of {len(good)} objects have not {what}")


def _labels(values: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Labels under galadapt's names; what stands for "no value" becomes NaN."""
    found: dict[str, np.ndarray] = {}
    for name in (name for name in (*LABELS, *ERRORS) if name in values):
        given = values[name]
        if name == "flag":
            # An object whose flag is unknown is not known to be good.
            found[name] = np.where(np.isnan(given), FLAG_NO_FIT, given).astype(np.int64)
            continue
        none = np.abs(given) > 360 if name == "position_angle" else given <= _NONE
        if name == "magnitude":
            none |= given >= -_NONE
        if name == "axis_ratio":
            if np.nanmedian(given) > 1:
                raise DataError(
                    f"{path}: the column for axis_ratio has a median of {np.nanmedian(given):.2f}; "
                    "it must be b/a, at most 1: map another column, or turn a/b round"
                )
            none, given = (given <= 0) | (given > 1), 1 - given
        found[name.replace("axis_ratio", "ellipticity")] = np.where(none, np.nan, given)
    labels = [found[name] for name in PARAMETERS if name in found]
    if labels:
        lacking = np.isnan(np.stack(labels)).any(axis=0)
        if lacking.any():
            log.info(f"{path}: {int(lacking.sum())} of {len(lacking)} objects lack a label: flag 3")
        flag = found.get("flag", np.zeros(len(lacking), np.int64))
        found["flag"] = np.where(lacking, np.maximum(flag, FLAG_NO_FIT), flag)
    return found
