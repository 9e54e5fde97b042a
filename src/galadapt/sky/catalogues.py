"""Reading a catalogue of objects, whatever its format and its columns' names.

`read_objects` gives one row per object under galadapt's names and units; `locate` finds the
objects on an image and says what is wrong when they are not there.
"""

from __future__ import annotations

import csv
import difflib
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.table import Table

from galadapt.core.errors import ConfigError, DataError
from galadapt.core.log import log
from galadapt.core.quantity import PARAMETERS
from galadapt.sky import Mosaic
from galadapt.surveys.field import FLAG_NO_FIT

#: Columns found without being told, compared without case, the most specific name first. Labels
#: are never guessed: "mag" may be of any band and any aperture.
AUTOMATIC = {
    "id": ("NUMBER", "ID", "IDENT", "OBJID", "OBJECT_ID", "SOURCE_ID", "OBJNO", "SEQ", "NUM"),
    "name": ("NAME", "OBJECT", "OBJNAME"),
    "ra": (
        *("RA", "RAJ2000", "RA_J2000", "ALPHA_J2000", "ALPHAWIN_J2000", "ALPHAPEAK_J2000"),
        *("RA_ICRS", "ALPHA_SKY", "_RAJ2000", "_RA", "_RA.icrs", "RADEG", "RA_DEG", "RA(DEG)"),
    ),
    "dec": (
        *("DEC", "DEJ2000", "DECJ2000", "DEC_J2000", "DELTA_J2000", "DELTAWIN_J2000"),
        *("DELTAPEAK_J2000", "DE_ICRS", "DEC_ICRS", "DELTA_SKY", "_DEJ2000", "_DE", "_DE.icrs"),
        *("DEDEG", "DECDEG", "DEC_DEG", "DEC(DEG)"),
    ),
    "x": ("X_IMAGE", "XWIN_IMAGE", "XPEAK_IMAGE", "XCENTROID", "X_CENTROID", "X_FIT", "X"),
    "y": ("Y_IMAGE", "YWIN_IMAGE", "YPEAK_IMAGE", "YCENTROID", "Y_CENTROID", "Y_FIT", "Y"),
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
_UNITS: dict[str, tuple[u.UnitBase, str | None]] = {
    "ra": (u.deg, "deg"),
    "dec": (u.deg, "deg"),
    "x": (u.pix, "pix"),
    "y": (u.pix, "pix"),
    "effective_radius": (u.arcsec, None),
    "position_angle": (u.deg, "deg"),
}
_UNITS["effective_radius_error"] = _UNITS["effective_radius"]

#: Words for units that astropy does not know.
_UNIT_WORDS = {"px": "pix", "pixel": "pix", "pixels": "pix", "hours": "hourangle", "h": "hourangle"}

#: At and below this a value stands for "none": -99, -999 and their kin.
_NONE = -90.0

#: What the columns of a GALFIT catalogue of van der Wel et al. are; names and case as printed.
_GALFIT = {
    **{"magnitude": "mag", "magnitude_error": "dmag"},
    **{"effective_radius": "re", "effective_radius_error": "dre"},
    **{"sersic_index": "n", "sersic_index_error": "dn"},
    **{"axis_ratio": "q", "axis_ratio_error": "dq"},
    **{"position_angle": "pa", "flag": "f", "sn": "sn"},
}


def read_objects(
    path: str | Path,
    columns: Mapping[str, str] = MappingProxyType({}),
    *,
    units: Mapping[str, str] = MappingProxyType({}),
    one_based: bool | None = None,
    pixel_scale: float | None = None,
    native_pixel_scale: float | None = None,
    placed: bool = True,
) -> pd.DataFrame:
    """Read a catalogue: FITS, VOTable, Parquet, ECSV, CSV, tab-separated, SExtractor's or GALFIT's.

    Args:
        path: The catalogue; its format is told from its content.
        columns: Names of its columns by galadapt's names (`NAMES`). Positions and identifiers have
            usual names that need no mapping; labels are read only when mapped, or when the columns
            are those of the GALFIT catalogues of van der Wel et al. and `pixel_scale` is given.
        units: Units by galadapt's names, where the catalogue says none or a wrong one: "deg",
            "hourangle", "rad", "arcsec", "pix".
        one_based: Whether the first pixel is 1; None to tell by the columns' names (X_IMAGE is
            1-based, any other name 0-based).
        pixel_scale: Grid on which radii are returned [arcsec/px].
        native_pixel_scale: Pixels of the catalogue's own image [arcsec/px], for radii given in
            pixels; None for `pixel_scale`.
        placed: Whether objects without positions are of no use.

    Returns:
        A row per object: id (int64); name, if the identifiers are text; ra, dec [deg] or, if these
        are absent or x and y are mapped, x, y [px of the image's file, 0-based]; and what is
        mapped: magnitude [mag], effective_radius [px of `pixel_scale`, semi-major], sersic_index,
        ellipticity, their errors, position_angle [deg], flag, sn. Positions that are no numbers,
        out of range or a placeholder such as -999 are NaN. Labels likewise; with labels, flag is
        3 (no fit) where one of them is missing.

    Raises:
        ConfigError: `columns` or `units` names something unknown.
        DataError: the file is missing, empty or not a catalogue; a column is missing or holds
            text; an identifier stands twice; no position is usable; a unit is missing or wrong.
    """
    path = Path(path)
    _check_names(columns, units)
    table = _read(path, columns)
    if len(table) == 0:
        raise DataError(f"{path}: catalogue has no rows; check that it was written completely")
    unmapped = not set(columns) & set(LABELS)
    if pixel_scale is not None and unmapped and set(_GALFIT.values()) <= set(table.colnames):
        columns = {**_GALFIT, **columns}
        units = {"effective_radius": "arcsec", "effective_radius_error": "arcsec", **units}
    chosen = _chosen(table, columns, placed, path)
    found: dict[str, Any] = _identifiers(table, chosen, path)
    values = {
        name: _values(table, column, name, units.get(name), path)
        for name, column in chosen.items()
        if name not in ("id", "name")
    }
    found.update(_positions(values, chosen, columns, one_based, path))
    found.update(_labels(values, pixel_scale, native_pixel_scale, path))
    return pd.DataFrame(found)


def locate(objects: pd.DataFrame, mosaic: Mosaic) -> tuple[np.ndarray, np.ndarray]:
    """Find the objects of `read_objects` on an image.

    Returns:
        x, y [output px of the mosaic, 0-based]; NaN for objects without a position.

    Raises:
        DataError: no object is on the image, or the image has no WCS and the objects no pixels.
    """
    ny, nx = mosaic.shape

    def count(x: np.ndarray, y: np.ndarray) -> int:
        with np.errstate(invalid="ignore"):
            return int(((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)).sum())

    if "x" in objects:
        x, y = mosaic.regrid(objects["x"], objects["y"])
        if count(x, y) == 0:
            raise DataError(
                f"{mosaic.path}: all {len(objects)} objects lie outside the image of "
                f"{mosaic.native_shape[1]} x {mosaic.native_shape[0]} px; check that catalogue and "
                "image belong together"
            )
        return x, y
    ra, dec = objects["ra"].to_numpy(), objects["dec"].to_numpy()
    x, y = mosaic.positions(ra, dec)
    if count(x, y):
        return x, y
    cause = "check that catalogue and image belong together"
    if count(*mosaic.positions(dec, ra)):
        cause = "they would be inside with ra and dec swapped: exchange the two in columns"
    elif count(*mosaic.positions(ra * 15, dec)):
        cause = "they would be inside with ra in hours: give units ra: hourangle"
    elif count(*mosaic.positions(np.degrees(ra), np.degrees(dec))):
        cause = "they would be inside with ra and dec in radians: give units ra: rad, dec: rad"
    else:
        middle = mosaic.sky((nx - 1) / 2, (ny - 1) / 2)
        cause = (
            f"the image's centre is at ra {float(middle[0]):.4f}, dec {float(middle[1]):.4f}, the "
            f"catalogue's median at ra {np.nanmedian(ra):.4f}, dec {np.nanmedian(dec):.4f}; {cause}"
        )
    raise DataError(f"{mosaic.path}: all {len(objects)} objects lie outside the image; {cause}")


# --- files ----------------------------------------------------------------------------------


def _check_names(columns: Mapping[str, str], units: Mapping[str, str]) -> None:
    for what, given, known in (("columns", columns, NAMES), ("units", units, tuple(_UNITS))):
        for name in given:
            if name not in known:
                raise ConfigError(f"{what}: unknown name '{name}'; known are {', '.join(known)}")
    if "axis_ratio" in columns and "ellipticity" in columns:
        raise ConfigError("columns: axis_ratio and ellipticity are given; give one of them")


def _read(path: Path, columns: Mapping[str, str]) -> Table:
    if not path.is_file():
        raise DataError(f"{path}: no such catalogue; check the path")
    try:
        with path.open("rb") as file:
            start = file.read(65536)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    if not start.strip():
        raise DataError(f"{path}: catalogue is empty; check that it was written completely")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _reader(path, start, columns)()
    except DataError:
        raise
    except Exception as error:
        # Readers of many formats fail in as many ways.
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise DataError(
            f"{path}: not a readable catalogue ({reason}); give FITS, VOTable, Parquet, ECSV or CSV"
        ) from None


def _reader(path: Path, start: bytes, columns: Mapping[str, str]) -> Callable[[], Table]:
    """What reads a file, told from its first bytes."""
    if start.startswith((b"SIMPLE  =", b"\x1f\x8b", b"BZh")):
        return lambda: _from_fits(path, columns)
    if start.startswith(b"PAR1"):
        return lambda: Table.from_pandas(pd.read_parquet(path))
    if start.lstrip().startswith((b"<?xml", b"<VOTABLE")):
        return lambda: Table.read(path, format="votable", table_id=0)
    text = path.read_text(encoding="utf-8-sig")
    lines = text.splitlines()
    head = [line for line in lines[:2000] if line.strip()]
    if head[0].startswith("# %ECSV"):
        return lambda: Table.read(text, format="ascii.ecsv")
    if head[0].split()[:2] == ["#", "1"]:
        return lambda: Table.read(text, format="ascii.sextractor")
    ruled = next((k for k, line in enumerate(lines) if _is_rule(line)), None)
    if ruled is not None:
        return lambda: _from_vizier(lines, ruled)
    return lambda: _from_text(lines, head, columns)


def _from_fits(path: Path, columns: Mapping[str, str]) -> Table:
    with fits.open(path) as hdus:
        tables = [
            k for k, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)
            and not isinstance(hdu, fits.CompImageHDU)
        ]  # fmt: skip
        if not tables:
            raise DataError(f"{path}: holds no table; give the catalogue, not the image")
        # SExtractor's LDAC files hold a table with the image's header before the objects.
        best = max(tables, key=lambda k: (_known(hdus[k].columns.names, columns), -k))
    table = Table.read(path, hdu=best, unit_parse_strict="silent")
    return table[[name for name in table.colnames if table[name].ndim == 1]]


def _known(names: list[str], columns: Mapping[str, str]) -> int:
    known = {name.upper() for names in AUTOMATIC.values() for name in names}
    known |= {name.upper() for name in columns.values()}
    return sum(name.upper() in known for name in names)


def _is_rule(line: str) -> bool:
    """Tell whether a line is the row of dashes under the names in VizieR's text."""
    words = line.replace("|", "\t").replace(";", "\t").split("\t")
    return len(words) > 1 and all(word.strip() and not word.strip("- ") for word in words)


def _from_vizier(lines: list[str], ruled: int) -> Table:
    sign = next(sign for sign in "\t;|" if sign in lines[ruled])
    above = [line for line in lines[:ruled] if line.strip() and not line.startswith("#")]
    names = [word.strip() for word in above[0].split(sign)]
    rows = [line for line in lines[ruled + 1 :] if line.strip() and not line.startswith("#")]
    frame = pd.read_csv(
        io.StringIO("\n".join(rows)), sep=sign, names=names, header=None, skipinitialspace=True,
        na_values=["", " "],
    )  # fmt: skip
    table = Table.from_pandas(frame)
    if len(above) > 1:
        for name, unit in zip(names, above[1].split(sign), strict=False):
            table[name].unit = u.Unit(unit.strip(), parse_strict="silent") if unit.strip() else None
    return table


def _from_text(lines: list[str], head: list[str], columns: Mapping[str, str]) -> Table:
    """Comma-, tab- or blank-separated text; the names may stand in a comment."""
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    comments = [line.lstrip().lstrip("#").strip() for line in head if line.lstrip()[0] == "#"]
    first = rows[0] if rows else ""
    sign = next((sign for sign in (",", "\t", ";") if sign in first), None)
    separator: Any = r"\s+" if sign is None else sign

    def split(line: str) -> list[str]:
        return [word.strip().strip('"') for word in (line.split(sign) if sign else line.split())]

    named = [line for line in comments if _known(split(line), columns)]
    if named and not _known(split(first), columns):
        names, body = split(named[-1]), rows
    else:
        names, body = split(first), rows[1:]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"column '{twice}' stands twice")
    for number, line in enumerate(body[:1000]):
        if sign is None and len(line.split()) != len(names):
            raise ValueError(f"row {number + 1} has not the header's {len(names)} columns")
    if sign is not None:
        # A reader would drop what is beyond the header, or shift it: a decimal comma, say.
        for number, row in enumerate(csv.reader(body, delimiter=sign, skipinitialspace=True)):
            if len(row) > len(names) and any(word.strip() for word in row[len(names) :]):
                raise ValueError(
                    f"row {number + 1} has {len(row)} fields, the header {len(names)} columns"
                )
    if not body:
        return Table(names=names)
    frame = pd.read_csv(
        io.StringIO("\n".join(body)), sep=separator, names=names, header=None,
        index_col=False, skipinitialspace=True,
    )  # fmt: skip
    return Table.from_pandas(frame)


# --- columns --------------------------------------------------------------------------------


def _chosen(table: Table, columns: Mapping[str, str], placed: bool, path: Path) -> dict[str, str]:
    """The catalogue's column for each of galadapt's names."""
    upper: dict[str, str] = {}
    for name in table.colnames:
        upper.setdefault(name.upper(), name)
    chosen: dict[str, str] = {}
    for name, column in columns.items():
        actual = column if column in table.colnames else upper.get(column.upper())
        if actual is None:
            near = difflib.get_close_matches(column, table.colnames, 1, 0.6)
            hint = f"did you mean '{near[0]}'" if near else _listed(table)
            raise DataError(f"{path}: has no column '{column}' for {name}; {hint}")
        chosen[name] = actual
    for name, known in AUTOMATIC.items():
        if name not in chosen:
            found = next((upper[one.upper()] for one in known if one.upper() in upper), None)
            if found is not None:
                chosen[name] = found
    for first, second in (("ra", "dec"), ("x", "y")):
        if (first in chosen) != (second in chosen):
            lacking = second if first in chosen else first
            if lacking in columns or {first, second} & set(columns):
                raise DataError(
                    f"{path}: no column for {lacking}; name it in columns; {_listed(table)}"
                )
            chosen.pop(first, None)
            chosen.pop(second, None)
    if placed and "ra" not in chosen and "x" not in chosen:
        raise DataError(
            f"{path}: no columns for ra and dec or x and y; name them in columns; {_listed(table)}"
        )
    return chosen


def _listed(table: Table) -> str:
    names = table.colnames[:30]
    more = len(table.colnames) - len(names)
    return f"it has {', '.join(names)}" + (f" and {more} more" if more else "")


def _plain(column: Any) -> np.ndarray:
    """Values of a column: numbers as float64, missing ones NaN; text as str, missing ones empty."""
    if column.dtype.kind in "SUO":
        values = column.filled("") if hasattr(column, "filled") else column
        return np.array(
            [one.decode() if isinstance(one, bytes) else "" if one is None else str(one)
             for one in values]
        )  # fmt: skip
    return np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)


def _identifiers(table: Table, chosen: Mapping[str, str], path: Path) -> dict[str, Any]:
    count = np.arange(1, len(table) + 1)
    column = chosen.get("id", chosen.get("name"))
    if column is None:
        log.info(f"{path}: no column for id; objects are numbered from 1")
        return {"id": count}
    raw = table[column]
    if raw.dtype.kind in "iu" and not np.ma.is_masked(raw):
        values = np.asarray(raw)
    else:
        values = _plain(raw)
        texts = np.array([str(one).strip() for one in values])
        empty = (texts == "") | (texts == "nan")
        if empty.any():
            raise DataError(
                f"{path}: row {int(np.argmax(empty)) + 1} has no {column}; give every object its "
                "own"
            )
    unique, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        twice = unique[np.argmax(counts > 1)]
        twice = int(twice) if values.dtype.kind == "f" and float(twice).is_integer() else twice
        raise DataError(
            f"{path}: {column} {twice} stands {counts.max()} times; give every object its own"
        )
    whole = values.dtype.kind == "f" and np.array_equal(values, np.round(values))
    # Beyond this a float no longer tells neighbouring integers apart.
    if whole and np.abs(values).max() < 2**53:
        values = values.astype(np.int64)
    if values.dtype.kind in "iu":
        if values.max() > np.iinfo(np.int64).max:
            return {"id": count, "name": values.astype(str)}
        return {"id": values.astype(np.int64)}
    return {"id": count, "name": values.astype(str)}


def _values(
    table: Table, column: str, name: str, told: str | None, path: Path
) -> tuple[np.ndarray, u.UnitBase | None]:
    """Numbers of a column in galadapt's unit; the unit is None where there is none to speak of."""
    raw = table[column]
    plain = _plain(raw)
    wanted, usual = _UNITS.get(name, (None, None))
    if plain.dtype.kind == "U":
        if name in ("ra", "dec"):
            return _sexagesimal(plain, name, told, column, path), u.deg
        numbers = pd.to_numeric(pd.Series(plain), errors="coerce").to_numpy(float)
        text = ~np.isfinite(numbers) & ~np.isin(np.char.lower(plain), ["", "nan", "null", "--"])
        if text.any():
            raise DataError(
                f"{path}: column '{column}' holds text ('{plain[np.argmax(text)]}'), not numbers; "
                f"name another column for {name}"
            )
        plain = numbers
    if wanted is None:
        return plain, None
    written = raw.unit if isinstance(getattr(raw, "unit", None), u.UnitBase) else None
    if isinstance(written, u.UnrecognizedUnit):
        written = _parsed(str(written), None, name, path)
    if written is not None and written == u.dimensionless_unscaled:
        written = None
    unit = written if told is None else _parsed(told, name, name, path)
    if unit is None:
        if usual is None:
            raise DataError(
                f"{path}: column '{column}' has no unit; say in units whether {name} is in arcsec "
                "or pix"
            )
        unit = u.Unit(usual)
    missing = ~np.isfinite(plain) | (plain == -99) | (plain <= -990)
    in_pixels = unit.is_equivalent(u.pix)
    if in_pixels and name.startswith("effective_radius"):
        return np.where(missing, np.nan, plain), u.pix
    if not unit.is_equivalent(wanted):
        raise DataError(
            f"{path}: column '{column}' is in '{unit}', which is no unit of {name}; give "
            f"'{wanted}' or the like in units"
        )
    return np.where(missing, np.nan, plain * unit.to(wanted)), wanted


def _parsed(text: str, told_for: str | None, name: str, path: Path) -> u.UnitBase | None:
    try:
        return u.Unit(_UNIT_WORDS.get(text.strip().lower(), text))
    except ValueError:
        if told_for is None:
            return None
        raise ConfigError(f"units.{name}: '{text}' is no unit; give deg, arcsec, pix...") from None


def _sexagesimal(
    texts: np.ndarray, name: str, told: str | None, column: str, path: Path
) -> np.ndarray:
    """Angles written as text: with colons, letters or blanks, right ascension in hours."""
    numbers = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(float)
    written = np.char.strip(texts) != ""
    if np.isfinite(numbers[written]).all():
        unit = u.Unit("deg" if told is None else _UNIT_WORDS.get(told, told))
        return numbers * unit.to(u.deg)
    unit = u.hourangle if name == "ra" else u.deg
    if told is not None:
        unit = u.Unit(_UNIT_WORDS.get(told, told))
    found = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if not written[row] or text.strip().lower() in ("nan", "null", "--"):
            continue
        try:
            found[row] = Angle(text, unit=unit).deg
        except (ValueError, TypeError, u.UnitsError):
            raise DataError(
                f"{path}: row {row + 1} of column '{column}' is '{text}', no angle; write "
                "degrees with a decimal point, or hours as 10:20:30.4"
            ) from None
    return found


def _positions(
    values: Mapping[str, tuple[np.ndarray, Any]],
    chosen: Mapping[str, str],
    columns: Mapping[str, str],
    one_based: bool | None,
    path: Path,
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    if "ra" in values:
        ra, dec = values["ra"][0].copy(), values["dec"][0].copy()
        known = np.isfinite(ra) & np.isfinite(dec)
        beyond = known & (np.abs(dec) > 90)
        if beyond.any() and not (known & (np.abs(ra) > 90)).any():
            raise DataError(
                f"{path}: {chosen['dec']} holds {dec[np.argmax(beyond)]:g} deg and "
                f"{chosen['ra']} nothing beyond 90; ra and dec are swapped: exchange them in "
                "columns"
            )
        beyond |= known & ((ra < -180) | (ra > 360))
        _say_lost(path, known & ~beyond, len(ra), "a position on the sky")
        ra[~known | beyond], dec[~known | beyond] = np.nan, np.nan
        found["ra"], found["dec"] = np.where(ra < 0, ra + 360, ra), dec
    if "x" in values and ("ra" not in values or "x" in columns):
        for name in ("x", "y"):
            first = chosen[name].upper() in _ONE_BASED if one_based is None else one_based
            found[name] = values[name][0] - (1.0 if first else 0.0)
        lost = ~np.isfinite(found["x"]) | ~np.isfinite(found["y"])
        _say_lost(path, ~lost, len(lost), "a pixel position")
        found["x"], found["y"] = (np.where(lost, np.nan, found[name]) for name in ("x", "y"))
    return found


def _say_lost(path: Path, good: np.ndarray, total: int, what: str) -> None:
    lost = total - int(good.sum())
    if lost == total:
        raise DataError(
            f"{path}: none of {total} objects has {what}; check the columns and their units"
        )
    if lost:
        log.info(f"{path}: {lost} of {total} objects have not {what}")


def _labels(
    values: Mapping[str, tuple[np.ndarray, Any]],
    pixel_scale: float | None,
    native_pixel_scale: float | None,
    path: Path,
) -> dict[str, np.ndarray]:
    """Labels under galadapt's names; what stands for "no value" becomes NaN."""
    found: dict[str, np.ndarray] = {}
    for name in (*LABELS, *ERRORS):
        if name not in values:
            continue
        numbers, unit = values[name]
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        if name.startswith("effective_radius"):
            numbers = _in_pixels(numbers, unit, pixel_scale, native_pixel_scale, path)
        if name == "flag":
            # An object whose flag is unknown is not known to be good.
            found[name] = np.where(np.isnan(numbers), FLAG_NO_FIT, numbers).astype(np.int64)
            continue
        if name != "position_angle":
            with np.errstate(invalid="ignore"):
                numbers = np.where(numbers <= _NONE, np.nan, numbers)
        else:
            with np.errstate(invalid="ignore"):
                numbers = np.where(np.abs(numbers) > 360, np.nan, numbers)
        if name == "magnitude":
            with np.errstate(invalid="ignore"):
                numbers = np.where(numbers >= -_NONE, np.nan, numbers)
        if name == "axis_ratio":
            numbers = _ratio(numbers, path)
            name, numbers = "ellipticity", 1 - numbers
        found["ellipticity_error" if name == "axis_ratio_error" else name] = numbers
    given = [name for name in PARAMETERS if name in found]
    if given:
        missing = np.isnan(np.stack([found[name] for name in given])).any(axis=0)
        if missing.any():
            log.info(f"{path}: {int(missing.sum())} of {len(missing)} objects lack a label: flag 3")
        flag = found.get("flag", np.zeros(len(missing), np.int64))
        found["flag"] = np.where(missing, np.maximum(flag, FLAG_NO_FIT), flag)
    return found


def _ratio(numbers: np.ndarray, path: Path) -> np.ndarray:
    if np.nanmedian(numbers) > 1:
        raise DataError(
            f"{path}: the column for axis_ratio has a median of {np.nanmedian(numbers):.2f}; it "
            "must be b/a, at most 1: map another column, or turn a/b round"
        )
    return np.where((numbers > 0) & (numbers <= 1), numbers, np.nan)


def _in_pixels(
    numbers: np.ndarray,
    unit: u.UnitBase,
    pixel_scale: float | None,
    native_pixel_scale: float | None,
    path: Path,
) -> np.ndarray:
    if unit == u.pix:
        if pixel_scale is None or native_pixel_scale is None:
            return numbers
        return numbers * native_pixel_scale / pixel_scale
    if pixel_scale is None:
        raise DataError(f"{path}: radii in arcsec need the pixel scale of the grid; give it")
    return numbers / pixel_scale
