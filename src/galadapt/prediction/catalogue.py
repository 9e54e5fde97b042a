"""The catalogue of a prediction: its columns, flags and files."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import Column, Table
from scipy.special import ndtri

from galadapt.core.errors import ConfigError
from galadapt.core.files import atomic, write_csv, write_json, write_parquet
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.general.parameters import PARAMETERS as NUMBERS
from galadapt.prediction.any_image import AnyImagePackage
from galadapt.prediction.flags import Flag
from galadapt.prediction.package import Package
from galadapt.prediction.recalibration import Recalibration
from galadapt.prediction.trust import doubts

#: Suffixes of outputs.
SUFFIXES = (".fits", ".csv", ".parquet", ".vot", ".xml")


class Described(NamedTuple):
    """What a column is."""

    unit: str  #: As astropy spells it; "" where it has none.
    meaning: str
    ucd: str = ""  #: Unified content descriptor (IVOA UCD1+).


def _described() -> dict[str, Described]:
    """Read the table of columns; each pair of `NUMBERS` has the one called corr."""
    table = pd.read_csv(Path(__file__).with_name("columns.csv"), keep_default_na=False)
    found = {str(name): Described(*about) for name, *about in table.itertuples(index=False)}
    columns: dict[str, Described] = {}
    for name, about in found.items():
        if name != "corr":
            columns[name] = about
            continue
        for pair in itertools.combinations(NUMBERS, 2):
            meaning = about.meaning.format(*pair)
            columns["_".join([name, *pair])] = about._replace(meaning=meaning)
    return columns


#: Every column; `<parameter>_err` has those of its parameter.
COLUMNS = _described()

#: Columns that only the package for any image has.
FURTHER = (
    *("position_angle", "position_angle_err", "x_centre", "x_centre_err"),
    *("y_centre", "y_centre_err", "masked_light"),
    *(name for name in COLUMNS if name.startswith(("corr_", "fit_"))),
)

#: Columns between the parameters and the flags.
_CHECKS = (
    *("signal_to_noise", "expected_signal_to_noise", "segment_magnitude", "flux_ratio", "chi2"),
    *("tension", "noise_correlation", "light_beyond", "unlike"),
)

#: Systematic errors (1 sigma) of magnitude [mag] and ellipticity, and relative ones of radius and
#: index: what the sampling and wings of a PSF, and the sky, leave on the brightest galaxies that
#: benchmarks/trust draws.
SYSTEMATIC = {
    "magnitude": 0.01,
    "effective_radius": 0.01,
    "sersic_index": 0.02,
    "ellipticity": 0.003,
}

#: Distance from the edge of the image from which on the sky around a galaxy is seen [px].
_NEAR_EDGE = 32.0

#: Coverage of the errors by which measurements are judged, whatever level is asked for.
JUDGED = 0.68


def column_names(any_image: bool) -> list[str]:
    """Name the columns that catalogues of a package may have, in the order of `assemble`."""
    names = ["id", "ra", "dec", "x", "y", "image"]
    for name in PARAMETERS:
        several = (name, f"{name}_arcsec") if name == "effective_radius" else (name,)
        names += [one for value in several for one in (value, f"{value}_err")]
    names += _CHECKS
    for name in FURTHER if any_image else ():
        names += [name, "position_angle_sky"] if name == "position_angle" else [name]
    return [*names, "flags", "unconfirmed", "reason"]


def assemble(
    package: Package | AnyImagePackage,
    objects: pd.DataFrame,
    raw: pd.DataFrame,
    level: float,
    common: int = 0,
    recalibration: Recalibration | None = None,
) -> pd.DataFrame:
    """Turn the networks' outputs into the catalogue.

    Args:
        objects: One row per object, with its id.
        raw: One row per object, in the same order; see `galadapt.prediction.measure`.
        level: Coverage of the errors.
        common: Flags of all objects.
        recalibration: Factors of the errors; None: they stay.

    Returns:
        `COLUMNS`, with `<parameter>_err` beside each parameter: NaN for objects out of the training
        range, where no error is reported.
    """
    record = package.record
    predicted = raw[[f"{name}_predicted" for name in PARAMETERS]].to_numpy(float, copy=True)
    spread = raw[[f"{name}_spread" for name in PARAMETERS]].to_numpy(float)
    errors = _errors(package, raw, predicted, spread, level)
    found = doubts(record, raw, predicted, _errors(package, raw, predicted, spread, JUDGED))
    measured = np.isfinite(predicted).all(axis=1)
    if recalibration is not None:
        errors *= recalibration.factors(predicted[:, PARAMETERS.index("magnitude")])
    for name, values in zip(PARAMETERS, predicted.T, strict=True):
        # No galaxy has these: the network extrapolates. The flag out_of_range stays.
        if QUANTITIES[name].positive:
            values[~(values > 0)] = np.nan
        elif name == "ellipticity":
            np.clip(values, 0.0, 1.0, out=values)
    # The reference has no galaxy out there whose scatter could be theirs.
    errors[found.outside] = np.nan
    flags = raw["flags"].to_numpy(np.int64) | common | found.flags
    twice = objects["id"].duplicated(keep=False).to_numpy()
    for flag, rows in ((Flag.NO_STAMP, ~measured), (Flag.DUPLICATE_ID, twice)):
        flags |= np.where(rows, int(flag), 0)

    if "mask_flags" in raw:
        # A network that is given a mask needs no warning of what lies outside of the galaxy.
        by_stamp = int(Flag.NEIGHBOUR | Flag.BAD_PIXELS | Flag.EDGE)
        flags &= np.where(measured, ~by_stamp, -1)
        near = measured & (raw["room"].to_numpy(float) < _NEAR_EDGE)
        flags |= np.where(near, int(Flag.EDGE), 0)
    for name in ("mask_flags", "fit_flags"):
        if name in raw:
            flags |= raw[name].fillna(0).to_numpy(np.int64)
    table = pd.DataFrame({"id": objects["id"].to_numpy()})
    for name in ("ra", "dec", "x", "y", "image"):
        table[name] = raw[name].to_numpy()
    # From the pixels of the network to those of the image.
    ratio = record.pixel_scale / raw["image_pixel_scale"].to_numpy(float)
    for column, name in enumerate(PARAMETERS):
        factor = ratio if name == "effective_radius" else 1.0
        table[name] = predicted[:, column] * factor
        table[f"{name}_err"] = errors[:, column] * factor
        if name == "effective_radius":
            table["effective_radius_arcsec"] = predicted[:, column] * record.pixel_scale
            table["effective_radius_arcsec_err"] = errors[:, column] * record.pixel_scale
    for name in _CHECKS:
        table[name] = raw[name].to_numpy(float) if name in raw else np.nan
    table["tension"], table["light_beyond"] = found.tension, found.light_beyond
    for name in FURTHER:
        if name in raw:
            table[name] = raw[name].to_numpy(float)
        if name == "position_angle" and name in raw:
            # Stamps keep the grid of the image, however it lies on the sky.
            turned = raw["up"].to_numpy(float) + raw["handed"].to_numpy(float) * table[name]
            table["position_angle_sky"] = (turned + 90) % 180 - 90
    table["flags"] = flags.astype(np.int32)
    table["unconfirmed"] = found.unconfirmed
    table["reason"] = raw["reason"].to_numpy()
    return table


def _errors(
    package: Package | AnyImagePackage,
    raw: pd.DataFrame,
    predicted: np.ndarray,
    spread: np.ndarray,
    level: float,
) -> np.ndarray:
    """Errors of predictions (n, p) in images of any depth.

    In a noisier image an object has the errors of one that is fainter by as much, so that their
    signal-to-noise ratios are alike.
    """
    noise = raw["local_rms"].to_numpy(float) / package.record.pixel_rms
    alike = predicted.copy()
    alike[:, PARAMETERS.index("magnitude")] += 2.5 * np.log10(np.where(noise > 1, noise, 1.0))
    errors = package.intervals.errors(alike, spread, level)
    if isinstance(package, AnyImagePackage):
        sigmas = ndtri((1 + level) / 2)
        for column, name in enumerate(PARAMETERS):
            if f"{name}_tail" in raw:
                # Heavier than a normal law's; see `galadapt.fitting.fusion.Fused`.
                errors[:, column] *= max(sigmas, 1.0) ** (raw[f"{name}_tail"].to_numpy(float) - 1)
            # Errors from noise alone have no lower end; PSF and zero point are not known better.
            unit = np.abs(predicted[:, column]) if QUANTITIES[name].positive else 1.0
            errors[:, column] = np.hypot(errors[:, column], SYSTEMATIC[name] * unit * sigmas)
    return errors


def check_output(path: Path) -> None:
    """Refuse (ConfigError) a catalogue of another suffix, or that cannot be written."""
    for problem in unwritable(path):
        raise ConfigError(problem)


def unwritable(path: Path, suffixes: Sequence[str] = SUFFIXES, what: str = "output") -> list[str]:
    """Why an output cannot be written, at most one sentence."""
    if path.suffix.lower() not in suffixes:
        return [
            f"{path}: unknown suffix '{path.suffix}'; end the {what}'s name in one of "
            f"{', '.join(suffixes)}"
        ]
    if path.is_dir():
        return [f"{path}: is a folder; name a file to write"]
    trial = path.with_name(f"{path.name}.try")
    try:
        with atomic(trial) as temporary:
            temporary.touch()
        trial.unlink()
    except OSError as error:
        return [f"{path}: cannot be written ({error.strerror}); choose another output"]
    return []


def flag_notes() -> dict[str, str]:
    """Explain the bits of the column `flags`, by keywords of provenance."""
    return {
        f"FLAG{int(flag).bit_length() - 1}": f"{int(flag)} {flag.label}: {flag.meaning}"
        for flag in Flag
    }


def write_catalogue(
    path: Path,
    table: pd.DataFrame,
    about: Mapping[str, str],
    columns: Mapping[str, Described] = COLUMNS,
) -> None:
    """Write the catalogue, in the format its suffix names, with its provenance by keywords.

    FITS keeps it in the table's header, VOTable in INFO elements, Parquet in the schema's metadata,
    CSV, which has no place for it, in ``<path>.json``. `columns` describes each column; one that
    ends in _err by its value's.
    """
    suffix = path.suffix.lower()
    notes = dict(about)
    if suffix == ".csv":
        write_json(path.with_name(f"{path.name}.json"), notes)
        write_csv(path, table)
        return
    if suffix == ".parquet":
        stored = table.copy()
        stored.attrs.update(notes)
        write_parquet(path, stored)
        return
    made = as_table(table, columns, ascii_only=suffix == ".fits")
    with atomic(path) as temporary:
        if suffix == ".fits":
            _fits(made, notes).writeto(temporary)
        else:
            votable = from_table(made)
            votable.resources[0].infos.extend(Info(name=key, value=notes[key]) for key in notes)
            votable.to_xml(str(temporary))


def as_table(
    table: pd.DataFrame,
    columns: Mapping[str, Described] = COLUMNS,
    *,
    ascii_only: bool = False,
    meta: Mapping[str, str] | None = None,
) -> Table:
    """Turn a catalogue into an astropy table with units and descriptions.

    `ascii_only` replaces other letters in text, which FITS cannot hold.
    """
    made = Table(meta=dict(meta or {}))
    for name in map(str, table):
        values = table[name].to_numpy()
        if values.dtype.kind in "OU":
            values = values.astype(str)
            if ascii_only:
                values = np.char.encode(values, "ascii", "backslashreplace").astype(str)
        unit, meaning, ucd = columns[name.removesuffix("_err")]
        meaning = f"error of {meaning}" if name.endswith("_err") else meaning
        if ucd and name.endswith("_err"):
            ucd = f"stat.error;{ucd.removesuffix(';meta.main')}"
        about_column = {"ucd": ucd} if ucd else {}
        made[name] = Column(values, unit=unit or None, description=meaning, meta=about_column)
    return made


def for_reading(table: Table) -> Table:
    """Have astropy print the digits that mean something, in place; values stay what they are."""
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            place = name in ("x", "y", "x_centre", "y_centre")
            digits = ".7f" if name in ("ra", "dec") else ".3f" if place else ".6g"
            table[name].info.format = ".3g" if name.endswith("_err") else digits
    return table


def _fits(table: Table, notes: Mapping[str, str]) -> fits.HDUList:
    hdu = fits.table_to_hdu(table)
    hdu.name = "GALADAPT"
    for number, name in enumerate(table.colnames, start=1):
        # What is left of a card's 80 characters beside keyword, value and separators.
        room = 65 - max(len(name), 18)
        hdu.header.comments[f"TTYPE{number}"] = table[name].description[:room]
        if "ucd" in table[name].meta:
            hdu.header[f"TUCD{number}"] = table[name].meta["ucd"]
    for key, value in notes.items():
        # Headers hold ASCII only; long values continue on further cards.
        hdu.header[key] = value.encode("ascii", "replace").decode()
    return fits.HDUList([fits.PrimaryHDU(), hdu])
