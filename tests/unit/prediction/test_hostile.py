"""Hostile input to `galadapt predict`: a sentence or a flag, never a silently wrong number."""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from galaxies import ZERO_POINT

from galadapt.cli import main
from galadapt.core.provenance import file_digest
from galadapt.prediction import measure
from galadapt.prediction import predict as predict_module
from galadapt.prediction.flags import Flag


class World:
    """A package, an image and a catalogue to spoil."""

    def __init__(self, package: Path, sky: dict[str, Path], folder: Path) -> None:
        self.package, self.sky, self.folder = package, sky, folder
        self.objects = pd.read_csv(sky["catalog"])

    def image(self, pixels=None, name: str = "spoilt.fits", **cards) -> Path:
        with fits.open(self.sky["image"]) as hdus:
            data, header = hdus[0].data.astype(np.float32), hdus[0].header.copy()
        for key, value in cards.items():
            if value is None:
                header.remove(key, ignore_missing=True)
            else:
                header[key] = value
        path = self.folder / name
        fits.PrimaryHDU(data if pixels is None else pixels(data), header).writeto(path)
        return path

    def file(self, content: bytes | str, name: str) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def catalog(self, name: str = "spoilt.csv", **columns) -> Path:
        table = self.objects.assign(**columns)
        table.to_csv(self.folder / name, index=False)
        return self.folder / name

    def psf(self, pixels: np.ndarray) -> Path:
        fits.PrimaryHDU(pixels).writeto(self.folder / "psf.fits")
        return self.folder / "psf.fits"

    def spoilt_package(self, change=None, **record) -> Path:
        """A copy of the package with another record; `change` spoils its folder first."""
        folder = self.folder / "model"
        shutil.copytree(self.package, folder)
        values = json.loads((folder / "package.json").read_text())
        if change is not None:
            change(folder, values)
        values.update(record)
        (folder / "package.json").write_text(json.dumps(values))
        return folder

    def arguments(self, *, output: str | Path = "out.csv", **changes) -> list[str]:
        """The command line; a change of None leaves an option out."""
        options = {
            "model": self.package,
            "members": 1,
            "images": self.sky["image"],
            "catalog": self.sky["catalog"],
            "output": self.folder / output,
        }
        options.update({key.replace("_", "-"): value for key, value in changes.items()})
        line = ["predict"]
        for key, value in options.items():
            if value is True:
                line.append(f"--{key}")
            elif value is not None:
                values = value if isinstance(value, list) else [value]
                line += [f"--{key}={values[0]}"] if len(values) == 1 else []
                line += [f"--{key}", *map(str, values)] if len(values) > 1 else []
        return line

    def output(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "out.csv", keep_default_na=False, na_values=[""])


@pytest.fixture
def world(package, sky, tmp_path) -> World:
    return World(package, sky, tmp_path)


def psf(side: int = 51, fwhm: float = 3.0, shift: float = 0.0) -> np.ndarray:
    y, x = np.indices((side, side)) - (side - 1) / 2
    return np.exp(-0.5 * ((x - shift) ** 2 + y**2) / (fwhm / 2.3548) ** 2)


def many(world: World) -> Path:
    path = world.folder / "psfs.fits"
    fits.HDUList([fits.PrimaryHDU(psf()), fits.ImageHDU(psf()), fits.ImageHDU(psf())]).writeto(path)
    return path


def cut(path: Path, share: float) -> bytes:
    content = path.read_bytes()
    return content[: int(len(content) * share)]


def packed(world: World) -> Path:
    with fits.open(world.sky["image"]) as hdus:
        hdu = fits.CompImageHDU(hdus[0].data, hdus[0].header, "RICE_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(world.folder / "whole.fits.fz")
    return world.folder / "whole.fits.fz"


def swapped_member(content: bytes):
    def change(folder: Path, values: dict) -> None:
        file = folder / values["members"][0]["file"]
        file.write_bytes(content)
        values["members"][0]["digest"] = file_digest(file)

    return change


def spoilt_reference(change):
    def spoil(folder: Path, values: dict) -> None:
        path = folder / "reference.parquet"
        change(pd.read_parquet(path)).to_parquet(path)
        values["reference_digest"] = file_digest(path)

    return spoil


def truncated_reference(folder: Path, values: dict) -> None:
    path = folder / "reference.parquet"
    path.write_bytes(cut(path, 0.7))
    values["reference_digest"] = file_digest(path)


def table_file(world: World) -> Path:
    path = world.folder / "table.fits"
    fits.BinTableHDU.from_columns(
        [
            fits.Column("RA", "D", array=world.objects["ra"]),
            fits.Column("DEC", "D", array=world.objects["dec"]),
        ]
    ).writeto(path)
    return path


def text(world: World, separator: str = ",", **columns) -> str:
    return world.objects.assign(**columns).to_csv(index=False, sep=separator)


def spoilt_record(**record):
    return lambda w: {"model": w.spoilt_package(**record)}


def spoilt_by(change):
    """A package whose folder and record a function spoils."""
    return lambda w: {"model": w.spoilt_package(change)}


def rewritten(content: bytes):
    """A package with another package.json."""

    def make(world: World) -> dict:
        folder = world.spoilt_package()
        (folder / "package.json").write_bytes(content)
        return {"model": folder}

    return make


def reference(change):
    return spoilt_by(spoilt_reference(change))


def first_member(**values):
    return spoilt_by(lambda f, v: v["members"][0].update(**values))


def damaged(content: bytes, start: int, damage: bytes) -> bytes:
    return content[:start] + damage + content[start + len(damage) :]


def zipped(world: World) -> bytes:
    return gzip.compress(world.sky["image"].read_bytes())


NO_WCS = {"CTYPE1": None, "CTYPE2": None}
NO_IMAGE = {"images": None, "catalog": None}

#: What the last line of the error says, and what is given then. What `galadapt.sky` refuses by
#: itself is tested there.
REFUSALS = {
    # Images.
    "Is a directory": {"image a folder": lambda w: {"images": w.folder}},
    "holds no 2-D image": {
        "image a table": lambda w: {"images": table_file(w)},
        "weight a table": lambda w: {"weight": table_file(w)},
    },
    "no such mosaic file": {
        "image absent": lambda w: {"images": w.folder / "no.fits", "catalog": None}
    },
    "not a readable FITS": {
        "image text": lambda w: {"images": w.file("galaxy " * 999, "a.fits")},
        "gzip that is none": lambda w: {"images": w.file(b"\x1f\x8b" + bytes(5000), "a.fits.gz")},
        "gzip damaged": lambda w: {
            "images": w.file(damaged(zipped(w), 5000, bytes(300)), "a.fits.gz")
        },
        "bzip2 truncated": lambda w: {
            "images": w.file(bz2.compress(w.sky["image"].read_bytes())[:99_000], "a.fits.bz2")
        },
        "fpack truncated": lambda w: {"images": w.file(cut(packed(w), 0.7), "a.fits.fz")},
        "fpack damaged": lambda w: {
            "images": w.file(damaged(packed(w).read_bytes(), 20_000, b"\xff" * 60_000), "a.fits.fz")
        },
        "PSF text": lambda w: {"psf": w.file("psf", "a.fits")},
    },
    "no noise can be measured": {
        "image all NaN": lambda w: {"images": w.image(lambda p: np.full_like(p, np.nan))},
        "image infinite": lambda w: {"images": w.image(lambda p: np.full_like(p, np.inf))},
    },
    "marks 100 % of the pixels": {
        "mask of everything": lambda w: {"mask": w.image(lambda p: 0 * p + 1)},
    },
    "cannot be divided by the exposure time": {
        "counts of no time": lambda w: {
            "images": w.image(BUNIT="COUNTS", EXPTIME="unknown"),
            "unit": "counts",
        }
    },
    "no AB magnitude": {"zero point absurd": lambda w: {"images": w.image(ABZP=1e5)}},
    "give --zero-point, the AB magnitude of 1 image unit": {
        "zero point absent": lambda w: {"images": w.image(ABZP=None)},
        "zero point text": lambda w: {"images": w.image(ABZP="AB")},
    },
    "--zero-point: must lie in 0 to 40": {"zero point NaN": lambda w: {"zero_point": "nan"}},
    "image unit\\), not 100000": {"zero point given absurd": lambda w: {"zero_point": "1e5"}},
    "no celestial WCS": {
        "no WCS": lambda w: {"images": w.image(**NO_WCS), "pixel_scale": 0.06},
    },
    "WCS": {"WCS singular": lambda w: {"images": w.image(PC1_1=0.0, PC2_2=0.0)}},
    "CRVAL1 is no number": {"WCS text": lambda w: {"images": w.image(CRVAL1="here")}},
    "lie outside": {
        "another field": lambda w: {"catalog": w.catalog(dec=w.objects["dec"] + 5)},
    },
    "pixel-scale": {
        "pixel scale negative": lambda w: {"images": w.image(**NO_WCS), "pixel_scale": -0.06},
        "pixel scale zero": lambda w: {"images": w.image(**NO_WCS), "pixel_scale": 0},
    },
    "has no extension": {
        "extension absent": lambda w: {"hdu": 3},
        "extension negative": lambda w: {"hdu": -1},
    },
    "--weight: 2 maps for 1 images": {"maps too many": lambda w: {"weight": [w.sky["weight"]] * 2}},
    "No such file": {"weight absent": lambda w: {"weight": w.folder / "no.fits"}},
    # Catalogues.
    "no such table": {"catalogue a folder": lambda w: {"catalog": w.folder}},
    "no rows": {
        "catalogue of comments": lambda w: {"catalog": w.file("# id ra dec\n# 1 2 3\n", "a.csv")}
    },
    "not a readable table": {
        "catalogue UTF-16": lambda w: {"catalog": w.file(text(w).encode("utf-16"), "a.csv")},
        "catalogue truncated": lambda w: {"catalog": w.file(cut(table_file(w), 0.68), "a.fits")},
        "decimal commas among commas": lambda w: {
            "catalog": w.file("id,ra,dec\n1,150,0,2,2\n2,150,1,2,3\n", "a.csv")
        },
        "rows longer than the header": lambda w: {
            "catalog": w.file("id,ra,dec\n" + "7,1,150.1,2.2\n8,2,150.1,2.3\n", "a.csv")
        },
    },
    "write degrees with a decimal point": {
        "decimal commas": lambda w: {"catalog": w.file(text(w, ";").replace(".", ","), "a.csv")}
    },
    "no column for ra": {
        "declination alone": lambda w: {
            "catalog": w.file("id,dec\n1,22\n", "a.csv"),
            "columns": "dec=dec",
        }
    },
    "row 1 of column 'ra' is 'unknown'": {
        "one word among numbers": lambda w: {
            "catalog": w.catalog(ra=["unknown", *w.objects["ra"].astype(str)[1:]])
        }
    },
    "none of 24 objects has a position": {
        "right ascension below -180": lambda w: {"catalog": w.catalog(ra=w.objects["ra"] - 360)},
        "beyond the pole": lambda w: {"catalog": w.catalog(dec=np.linspace(91, 99, 24))},
    },
    "7 stands 24 times; give every object its own": {
        "ids repeated": lambda w: {"catalog": w.catalog(id=7)}
    },
    # PSFs.
    "no such PSF": {"PSF absent": lambda w: {"psf": w.folder / "no.fits"}},
    "NaN or infinite": {"PSF NaN": lambda w: {"psf": w.psf(np.full((51, 51), np.nan))}},
    "not positive": {
        "PSF negative": lambda w: {"psf": w.psf(-psf())},
        "PSF zero": lambda w: {"psf": w.psf(0 * psf())},
    },
    "the PSF has one value in all pixels": {
        "PSF constant": lambda w: {"psf": w.psf(np.ones((51, 51)))}
    },
    "off the middle": {"PSF off its middle": lambda w: {"psf": w.psf(psf(shift=19))}},
    "not a 2-D image": {
        "PSF a cube": lambda w: {"psf": w.psf(np.stack([psf()] * 3))},
        "PSF a table": lambda w: {"psf": table_file(w)},
    },
    "holds 3 images; give one PSF": {"PSFs of many places": lambda w: {"psf": many(w)}},
    "--psf-pixel-scale": {
        "PSF scale negative": lambda w: {"psf": w.psf(psf()), "psf_pixel_scale": -0.06},
        "PSF scale zero": lambda w: {"psf": w.psf(psf()), "psf_pixel_scale": 0},
        "PSF scale NaN": lambda w: {"psf": w.psf(psf()), "psf_pixel_scale": "nan"},
        "PSF scale without PSF": lambda w: {"psf_pixel_scale": 0.06},
    },
    # Packages.
    "no prediction package here": {"package absent": lambda w: {"model": w.folder / "no"}},
    "no prediction package found; train one with `make demo`": {
        "no package among models": lambda w: {"model": None, "models": w.folder}
    },
    "made by galadapt 0.1.0, whose schema is 'galadapt-package-2'.*; make the package again": {
        "package of another version": spoilt_record(schema="galadapt-package-2", version="0.1.0")
    },
    "colour": {"package with a strange key": spoilt_record(colour="red")},
    "pixel_rms": {"package without noise": spoilt_record(pixel_rms=float("nan"))},
    "stamp_size: .*make the package again": {"stamps of no size": spoilt_record(stamp_size="big")},
    "psf: Field required": {"package without PSF": spoilt_by(lambda f, v: v.pop("psf"))},
    "measures magnitude, colour, not magnitude, effective_radius": {
        "package of other parameters": spoilt_record(parameters=["magnitude", "colour"])
    },
    "lacks the training ranges 'effective_radius', 'sersic_index'": {
        "ranges of another parameter": spoilt_record(training_ranges={"magnitude": [18, 25]})
    },
    "not valid JSON": {
        "package a list": rewritten(b"[1]"),
        "package half written": rewritten(b"{"),
        "package not UTF-8": rewritten(b"\xff\xfe{}"),
    },
    r"member-1\.onnx: missing, or not the file that package\.json names": {
        "network tampered with": spoilt_by(
            lambda f, v: (f / v["members"][0]["file"]).write_bytes(b"other")
        )
    },
    "no ONNX network that can be run": {
        "network of text": spoilt_by(swapped_member(b"weights")),
        "network pickled": spoilt_by(swapped_member(pickle.dumps({"weights": [1, 2]}))),
        "network truncated": spoilt_by(
            lambda f, v: swapped_member(cut(f / v["members"][0]["file"], 0.8))(f, v)
        ),
        "network a zip of nothing": spoilt_by(swapped_member(b"PK\x05\x06" + bytes(18))),
    },
    "members.0.file": {"member elsewhere": first_member(file="../model/member-1.onnx")},
    "target scaling is incomplete": {
        "scaling of nothing": first_member(target_scaling={"mean": 1})
    },
    r"not a readable table \(": {"reference truncated": spoilt_by(truncated_reference)},
    "reference.parquet: missing, or not the file": {
        "reference of another package": spoilt_record(reference_digest="0" * 64)
    },
    "reference.parquet": {
        "reference without rows": reference(lambda t: t.iloc[:0]),
        "reference of one row": reference(lambda t: t.iloc[:1]),
        "reference without features": reference(lambda t: t.iloc[:, :-32]),
        "reference of infinities": reference(lambda t: t.assign(f000=np.inf)),
        "reference of another domain": reference(lambda t: t.assign(domain="moon")),
    },
    "magnitude_spread": {
        "reference without spread": reference(lambda t: t.drop(columns="magnitude_spread"))
    },
    # Options and outputs.
    r"unknown suffix '(\.txt)?'; end the output's name in": {
        "suffix unknown": lambda w: {"output": w.folder / "out.txt"},
        "suffix missing": lambda w: {"output": w.folder / "out"},
    },
    "is a folder": {
        "output a folder": lambda w: {"output": (lambda p: p.mkdir() or p)(w.folder / "o.csv")}
    },
    "cannot be written": {
        "output below a file": lambda w: {"output": w.file("", "file") / "out.csv"},
        "plot below a file": lambda w: {"plot": w.file("", "file") / "sheet.png"},
    },
    "would overwrite": {
        "output is the catalogue": lambda w: {
            "catalog": w.catalog(),
            "output": w.folder / "spoilt.csv",
        },
        "output is the image": lambda w: {
            "images": w.image(),
            "output": w.folder / "spoilt.fits",
        },
    },
    "plot": {
        "plot is the output": lambda w: {"plot": w.folder / "out.csv"},
        "plot of unknown suffix": lambda w: {"plot": w.folder / "sheet.txt"},
    },
    "--plot-count": {"plot of nothing": lambda w: {"plot": w.folder / "a.png", "plot_count": 0}},
    "--level": {
        "level NaN": lambda w: {"level": "nan"},
        "level of three sigma": lambda w: {"level": 3},
        "level of certainty": lambda w: {"level": 1.0},
    },
    "--members": {"no member": lambda w: {"members": 0}},
    "--members: 3 of the package's 2 networks": {"members too many": lambda w: {"members": 3}},
    "--processes": {"no process": lambda w: {"processes": 0}},
    "is not NAME=VALUE": {"columns without a name": lambda w: {"columns": "ra"}},
    "give exactly one of --images, --cutouts and --stamps": {
        "nothing to measure": lambda w: NO_IMAGE,
        "two kinds of input": lambda w: {"cutouts": w.sky["image"]},
        "stamps beside images": lambda w: {"stamps": w.folder / "a.h5"},
    },
    "--fill: belongs to --cutouts": {"fill of images": lambda w: {"fill": True}},
    "--zero-point": {
        "zero point of stamps": lambda w: {
            **NO_IMAGE,
            "stamps": w.folder / "a.h5",
            "zero_point": 25,
        }
    },
    "--columns": {"columns without a catalogue": lambda w: {"catalog": None, "columns": "ra=ra"}},
    "holds no FITS image": {
        "cutouts of nothing": lambda w: {**NO_IMAGE, "cutouts": w.folder},
    },
    "no such stamp set": {
        "stamps absent": lambda w: {**NO_IMAGE, "stamps": w.folder / "a.h5"},
    },
    "a.h5": {"stamps of text": lambda w: {**NO_IMAGE, "stamps": w.file("no", "a.h5")}},
    "without --catalog give one image at a time": {
        "images without a catalogue": lambda w: {"catalog": None, "images": [w.sky["image"]] * 2}
    },
}
REFUSED = {case: (make, text) for text, cases in REFUSALS.items() for case, make in cases.items()}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_sentence(world, capsys, case):
    make, message = REFUSED[case]
    changes = make(world)
    code = main(world.arguments(**changes))
    lines = capsys.readouterr().err.splitlines()
    assert code in (2, 3, 4)
    assert lines[-1].startswith("galadapt: ")
    assert re.search(message, lines[-1])
    assert not list(world.folder.glob(".*.parts"))
    output = changes.get("output", world.folder / "out.csv")
    if case not in ("output a folder", "output is the catalogue", "output is the image"):
        assert not Path(output).exists()


# --- measured all the same ------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(package, sky, tmp_path_factory) -> pd.DataFrame:
    """What the untouched image gives, without a weight map."""
    world = World(package, sky, tmp_path_factory.mktemp("clean"))
    assert main(world.arguments()) == 0
    return world.output()


def has(table: pd.DataFrame, flag: Flag) -> np.ndarray:
    return (table["flags"].to_numpy() & int(flag)) > 0


def same(table: pd.DataFrame, clean: pd.DataFrame, tolerance: float = 1e-6) -> bool:
    """Whether the same objects were measured, with the same numbers."""
    return bool(
        (table["reason"].fillna("") == clean["reason"].fillna("")).all()
        and np.allclose(table["magnitude"], clean["magnitude"], atol=tolerance, equal_nan=True)
        and np.allclose(table["x"], clean["x"], atol=1e-3, equal_nan=True)
    )


def measured(table: pd.DataFrame) -> np.ndarray:
    return table["reason"].isna().to_numpy()


def stripe(value: float):
    def change(pixels: np.ndarray) -> np.ndarray:
        pixels[:, :70] = value
        return pixels

    return change


def weight_with(value: float):
    def change(pixels: np.ndarray) -> np.ndarray:
        weight = np.full_like(pixels, 0.005**-2)
        weight[:, :70] = value
        return weight

    return change


def spiked(value: float):
    """One absurd pixel beside every galaxy."""

    def make(world: World) -> Path:
        from astropy.wcs import WCS

        header = fits.getheader(world.sky["image"])
        places = WCS(header).world_to_pixel_values(world.objects["ra"], world.objects["dec"])

        def change(pixels: np.ndarray) -> np.ndarray:
            for x, y in np.round(np.transpose(places)[:22]).astype(int):
                pixels[y + 2, x + 2] = value
            return pixels

        return world.image(change)

    return make


def in_integers(world: World) -> Path:
    """The image in 16 bits, shifted, with a corner that is BLANK."""
    with fits.open(world.sky["image"]) as hdus:
        data, header = hdus[0].data, hdus[0].header.copy()
    scale = float(data.max() - data.min()) / 60_000
    stored = np.round((data - data.min()) / scale - 30_000).astype(">i2")
    stored[:70, :70] = -32_768
    hdu = fits.PrimaryHDU(stored, header)
    hdu.header["BSCALE"], hdu.header["BZERO"] = scale, float(data.min()) + 30_000 * scale
    hdu.header["BLANK"] = -32_768
    path = world.folder / "short.fits"
    hdu.writeto(path)
    # Astropy drops the cards when it writes integers it takes for the values themselves.
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"], hdus[0].header["BZERO"] = (
            scale,
            float(data.min()) + 30_000 * scale,
        )
        hdus[0].header["BLANK"] = -32_768
    return path


def pixel_catalog(world: World, clean: pd.DataFrame, first: int, names: str) -> Path:
    x, y = names.split()
    table = pd.DataFrame({"id": clean["id"], x: clean["x"] + first, y: clean["y"] + first})
    table.to_csv(world.folder / "pixels.csv", index=False)
    return world.folder / "pixels.csv"


def sexagesimal(world: World) -> Path:
    from astropy.coordinates import SkyCoord

    sky = SkyCoord(world.objects["ra"], world.objects["dec"], unit="deg")
    return world.catalog(
        ra=sky.ra.to_string("hour", sep=":", precision=6),
        dec=sky.dec.to_string("deg", sep=":", precision=5, alwayssign=True),
    )


def rows_without(table: pd.DataFrame, clean: pd.DataFrame, lost: np.ndarray) -> bool:
    """Whether only the rows `lost` are lost, and the others are untouched."""
    kept = measured(clean) & ~lost
    return bool(
        (measured(table) == kept).all()
        and np.allclose(table["magnitude"][kept], clean["magnitude"][kept], atol=0.05)
    )


def left(clean: pd.DataFrame, reach: float) -> np.ndarray:
    return (clean["x"] < 70 + reach).to_numpy()


#: What is changed, and what must be true of the catalogue then.
MEASURED = {
    **{
        f"stripe of {value}": (
            lambda w, c, value=value: {"images": w.image(stripe(value))},
            lambda t, c: rows_without(t, c, left(c, 16)),
        )
        for value in (np.nan, np.inf, 1e39, 0)
    },
    **{
        f"weights of {value}": (
            lambda w, c, value=value: {"weight": w.image(weight_with(value))},
            lambda t, c: rows_without(t, c, left(c, 16)),
        )
        for value in (-1, 0, np.nan, np.inf)
    },
    "rows of NaN": (
        lambda w, c: {
            "images": w.image(lambda p: np.where(np.arange(400)[:, None] < 60, np.nan, p))
        },
        lambda t, c: (t["reason"] == "bad_pixels").sum() >= 3 and measured(t).sum() >= 10,
    ),
    "no weight anywhere": (
        lambda w, c: {"weight": w.image(lambda p: 0 * p)},
        lambda t, c: has(t, Flag.NO_STAMP).all() and (t["reason"] == "bad_pixels").sum() >= 20,
    ),
    "weight a hundredth of itself": (
        lambda w, c: {"weight": w.image(lambda p: 0 * p + 0.005**-2 / 100)},
        lambda t, c: has(t, Flag.NOISE_UNLIKE)[measured(t)].all(),
    ),
    "a cosmic ray in every stamp": (
        lambda w, c: {"images": spiked(1e4)(w)},
        lambda t, c: (t["flags"] != 0).all() and not (t["flags"][measured(t)] == 0).any(),
    ),
    "a dead pixel in every stamp": (
        lambda w, c: {"images": spiked(-1e4)(w)},
        lambda t, c: (t["flags"] != 0).all(),
    ),
    "zero point of another band": (
        lambda w, c: {"images": w.image(ABZP=ZERO_POINT - 2)},
        lambda t, c: has(t, Flag.NOISE_UNLIKE)[measured(t)].all(),
    ),
    "16 bits and BLANK": (
        lambda w, c: {"images": in_integers(w)},
        lambda t, c: rows_without(t, c, ((c["x"] < 86) & (c["y"] < 86)).to_numpy()),
    ),
    "gzip": (
        lambda w, c: {"images": w.file(gzip.compress(w.sky["image"].read_bytes()), "a.gz")},
        same,
    ),
    "fpack": (lambda w, c: {"images": packed(w)}, lambda t, c: same(t, c, 0.05)),
    "PSF of even size": (
        lambda w, c: {"psf": w.psf(psf(50))},
        lambda t, c: not has(t, Flag.PSF_UNLIKE).any(),
    ),
    "PSF of one pixel": (
        lambda w, c: {"psf": w.psf(np.ones((1, 1)))},
        lambda t, c: has(t, Flag.PSF_UNLIKE).all(),
    ),
    "PSF of a wrong scale": (
        lambda w, c: {"psf": w.psf(psf()), "psf_pixel_scale": 0.03},
        lambda t, c: has(t, Flag.PSF_UNLIKE).all(),
    ),
    "PSF too coarse": (
        lambda w, c: {"psf": w.psf(psf()), "psf_pixel_scale": 0.3},
        lambda t, c: has(t, Flag.PSF_UNLIKE).all(),
    ),
    "byte order mark": (
        lambda w, c: {"catalog": w.file(b"\xef\xbb\xbf" + text(w).encode(), "a.csv")},
        same,
    ),
    "semicolons and carriage returns": (
        lambda w, c: {"catalog": w.file(text(w, ";").replace("\n", "\r\n"), "a.csv")},
        same,
    ),
    "blanks": (lambda w, c: {"catalog": w.file(text(w, " "), "a.txt")}, same),
    "a trailing comma": (
        lambda w, c: {"catalog": w.file(text(w).replace("\n", ",\n"), "a.csv")},
        same,
    ),
    "no name, no suffix": (lambda w, c: {"catalog": w.file(text(w), "catalogue")}, same),
    "sexagesimal": (lambda w, c: {"catalog": sexagesimal(w)}, lambda t, c: same(t, c, 0.02)),
    "hours, as given": (
        lambda w, c: {"catalog": w.catalog(ra=w.objects["ra"] / 15), "units": "ra=hourangle"},
        same,
    ),
    "swapped, as given": (
        lambda w, c: {
            "catalog": w.catalog(ra=w.objects["dec"], dec=w.objects["ra"]),
            "columns": ["ra=dec", "dec=ra"],
        },
        same,
    ),
    "pixels from 0": (lambda w, c: {"catalog": pixel_catalog(w, c, 0, "x y")}, same),
    "pixels from 1, by name": (
        lambda w, c: {"catalog": pixel_catalog(w, c, 1, "X_IMAGE Y_IMAGE")},
        same,
    ),
    "pixels from 1, as given": (
        lambda w, c: {"catalog": pixel_catalog(w, c, 1, "x y"), "one_based": True},
        same,
    ),
    "some positions lost": (
        lambda w, c: {"catalog": w.catalog(ra=w.objects["ra"].where(w.objects["id"] > 104))},
        lambda t, c: (
            has(t, Flag.NO_STAMP)[:5].all() and same(t[5:].reset_index(), c[5:].reset_index())
        ),
    ),
    "placeholders": (
        lambda w, c: {"catalog": w.catalog(dec=w.objects["dec"].where(w.objects["id"] > 104, -99))},
        lambda t, c: (
            has(t, Flag.NO_STAMP)[:5].all() and same(t[5:].reset_index(), c[5:].reset_index())
        ),
    ),
    "everything in one place": (
        lambda w, c: {"catalog": w.catalog(ra=w.objects["ra"][6], dec=w.objects["dec"][6])},
        lambda t, c: has(t, Flag.COINCIDENT).all(),
    ),
    "one object": (
        lambda w, c: {
            "catalog": w.file(text(w).splitlines()[0] + "\n" + text(w).splitlines()[7], "a.csv")
        },
        lambda t, c: len(t) == 1 and same(t, c[6:7].reset_index()),
    ),
    "text identifiers": (
        lambda w, c: {"catalog": w.catalog(id=[f"galaxy {k}" for k in range(24)])},
        lambda t, c: same(t, c) and t["id"][3] == "galaxy 3",
    ),
    "negative identifiers": (
        lambda w, c: {"catalog": w.catalog(id=-w.objects["id"])},
        lambda t, c: same(t, c) and (t["id"] == -c["id"]).all(),
    ),
    "identifiers as floats": (
        lambda w, c: {"catalog": w.catalog(id=w.objects["id"] + 0.0)},
        lambda t, c: same(t, c) and (t["id"] == c["id"]).all(),
    ),
    "identifiers beyond integers": (
        lambda w, c: {"catalog": w.catalog(id=w.objects["id"] * 1e300)},
        lambda t, c: same(t, c) and t["id"].is_unique and (t["id"].astype(float) > 1e300).all(),
    ),
    "identifiers of 19 digits": (
        lambda w, c: {"catalog": w.catalog(id=w.objects["id"] + 2**62)},
        lambda t, c: same(t, c) and (t["id"] == c["id"] + 2**62).all(),
    ),
}


@pytest.mark.parametrize("case", MEASURED)
def test_measured_or_flagged(world, clean, case):
    changes, check = MEASURED[case]
    code = main(world.arguments(**changes(world, clean)))
    table = world.output()
    assert code == (0 if measured(table).any() else 4)
    assert check(table, clean)
    # A number without a finite error, or a rejected object with a number, would mislead.
    assert np.isfinite(table.loc[measured(table), "magnitude"]).all()
    # Out of the training range no error is known, and none is invented.
    known = measured(table) & ((table["flags"] & int(Flag.OUT_OF_RANGE)) == 0)
    assert (np.isfinite(table["magnitude_err"]) == known).all()
    assert table.loc[~measured(table), "magnitude"].isna().all()


# --- runs that end badly --------------------------------------------------------------------


def test_a_full_disk_is_said_and_nothing_stays(world, capsys):
    """Files may not grow beyond a limit, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        code = main(world.arguments())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 4
    assert re.search("File too large; make room", capsys.readouterr().err.splitlines()[-1])
    assert not (world.folder / "out.csv").exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_errors_of_the_machine_are_sentences(world, capsys, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number), "out.csv")

    monkeypatch.setattr(predict_module, "write_catalogue", refuse)
    assert main(world.arguments()) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"galadapt: out.csv: {os.strerror(number)}; make room")


def test_an_unreadable_catalogue(world, capsys, monkeypatch):
    path = world.catalog()
    really = type(path).open

    def refuse(self, *given, **named):
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(self, *given, **named)

    monkeypatch.setattr(type(path), "open", refuse)
    assert main(world.arguments(catalog=path)) == 3
    assert "cannot be read (Permission denied)" in capsys.readouterr().err


def test_an_interrupt_leaves_no_output(world, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_module, "write_catalogue", interrupt)
    assert main(world.arguments()) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("galadapt: interrupted")
    assert not (world.folder / "out.csv").exists()


def test_two_runs_do_not_share_an_output(world, capsys, clean):
    with measure.reserved(world.folder / ".out.csv.parts"):
        assert main(world.arguments()) == 4
        assert "another run is writing it" in capsys.readouterr().err.splitlines()[-1]
    assert not (world.folder / "out.csv").exists()
    assert main(world.arguments()) == 0
    assert same(world.output(), clean)


@pytest.mark.parametrize("spoil", ["part", "key", "stranger"])
def test_spoilt_parts_are_thrown_away(world, clean, spoil, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    parts = world.folder / ".out.csv.parts"
    monkeypatch.setattr(measure, "_joined", interrupt)
    main(world.arguments())
    monkeypatch.undo()
    (part,) = parts.glob("*.parquet")
    if spoil == "part":
        part.write_bytes(part.read_bytes()[:500])
    elif spoil == "key":
        (parts / "key.json").write_bytes(b"\xff\xfe")
    else:
        (parts / "key.json").unlink()
    assert main(world.arguments()) == 0
    assert same(world.output(), clean)
    assert not parts.exists()


def test_a_killed_run_continues_to_the_same_bytes(world):
    """SIGKILL as soon as the first part is on disk."""
    assert main(world.arguments(output="whole.fits")) == 0
    line = world.arguments(output="out.fits")
    slow = (
        "import sys, time\n"
        "from galadapt.prediction import measure\n"
        "really, measure.PART = measure._measured, 1\n"
        "def slow(*given):\n"
        "    time.sleep(0.2 if measure.begun else 0)\n"
        "    measure.begun = True\n"
        "    return really(*given)\n"
        "measure.begun, measure._measured = False, slow\n"
        "from galadapt.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    with subprocess.Popen([sys.executable, "-c", slow, *line]) as process:
        parts = world.folder / ".out.fits.parts"
        end = time.monotonic() + 60
        while not list(parts.glob("0*.parquet")) and time.monotonic() < end:
            time.sleep(0.02)
        process.kill()
    assert list(parts.glob("0*.parquet"))
    assert not (world.folder / "out.fits").exists()
    assert main(line) == 0
    assert (world.folder / "out.fits").read_bytes() == (world.folder / "whole.fits").read_bytes()
    assert not parts.exists()


def test_names_beyond_ascii_are_kept_or_escaped(world):
    catalog = world.catalog(id=[f"Größe {k}" for k in range(24)])
    image = world.image(name="Größe.fits")
    for suffix in ("fits", "vot", "parquet"):
        given = world.arguments(images=image, catalog=catalog, output=f"out.{suffix}")
        assert main(given) == 0
    table = Table.read(world.folder / "out.fits")
    assert table["id"][3] == "Gr\\xf6\\xdfe 3"
    assert pd.read_parquet(world.folder / "out.parquet")["id"][3] == "Größe 3"
    assert Table.read(world.folder / "out.vot", format="votable")["id"][3] == "Größe 3"


def test_an_output_is_replaced_as_a_whole(world, clean):
    world.file("old " * 999, "out.csv")
    assert main(world.arguments()) == 0
    assert same(world.output(), clean)


def test_a_psf_that_is_not_given_is_said(world, capsys):
    assert main(world.arguments()) == 0
    assert "no PSF given: assuming that of the training, 0.18" in capsys.readouterr().err


def test_an_empty_sky_without_a_catalogue(world, capsys):
    noise = np.random.default_rng(0).normal(0, 0.005, (400, 400)).astype(np.float32)
    assert main(world.arguments(images=world.image(lambda _: noise), catalog=None)) == 3
    assert "no source detected" in capsys.readouterr().err.splitlines()[-1]


def test_an_image_smaller_than_a_stamp(world, capsys):
    image = world.image(lambda pixels: pixels[:14, :14], CTYPE1=None, CTYPE2=None)
    catalog = world.file("id,x,y\n1,6.5,6.5\n", "tiny.csv")
    weight = world.image(lambda pixels: 0 * pixels[:14, :14] + 4e4, name="wht.fits")
    given = world.arguments(images=image, catalog=catalog, weight=weight, pixel_scale=0.06)
    assert main(given) == 4
    assert world.output()["reason"].tolist() == ["edge"]
    assert "a stamp is 32 px of 0.06 arcsec; images must reach 0.96" in capsys.readouterr().err


def test_doubts_about_many_cutouts_are_said_once(world, capsys):
    folder = world.folder / "cutouts"
    folder.mkdir()
    for number in range(4):
        shutil.copy(world.sky["image"], folder / f"{number}.fits")
    assert main(world.arguments(images=None, catalog=None, cutouts=folder)) == 0
    said = capsys.readouterr().err
    assert said.count("the noise is measured in the image") == 1
    assert said.count("extraction:") == 1


def test_small_cutouts_are_framed_when_told(world, clean):
    """Ours, cut to 24 px: refused, or framed to almost the numbers of the whole image."""
    folder = world.folder / "cutouts"
    folder.mkdir()
    with fits.open(world.sky["image"]) as hdus:
        data, header = hdus[0].data, hdus[0].header
    keep = clean[measured(clean) & (clean["flags"] & int(Flag.BLENDED) == 0)][:6]
    for row in keep.itertuples():
        x, y = round(row.x), round(row.y)
        small = data[y - 12 : y + 13, x - 12 : x + 13]
        cards = {"BUNIT": header["BUNIT"], "ABZP": header["ABZP"]}
        fits.PrimaryHDU(small, fits.Header(cards)).writeto(folder / f"{row.id}.fits")
    cut = {"images": None, "catalog": None, "cutouts": folder, "pixel_scale": 0.06}
    # Nothing is measured, which is no success.
    assert main(world.arguments(**cut)) == 4
    assert (world.output()["reason"] == "edge").all()
    assert main(world.arguments(**cut, fill=True)) == 0
    first = world.output()
    assert measured(first).all()
    assert has(first, Flag.EDGE).all()
    assert np.median(np.abs(first["magnitude"].to_numpy() - keep["magnitude"].to_numpy())) < 0.3
    assert main(world.arguments(**cut, fill=True)) == 0
    pd.testing.assert_frame_equal(world.output(), first)
    assert main(world.arguments(fill=True)) == 2


def test_a_file_of_many_images_is_no_cutout(world):
    with fits.open(world.sky["image"]) as hdus:
        pixels, header = hdus[0].data, hdus[0].header
    path = world.folder / "many.fits"
    fits.HDUList([fits.PrimaryHDU(), *[fits.ImageHDU(pixels, header)] * 40]).writeto(path)
    assert main(world.arguments(images=None, catalog=None, cutouts=path)) == 4
    (reason,) = world.output()["reason"]
    assert "holds 40 images" in reason
    assert len(reason) < 300 + len(str(path))


def test_nothing_is_left_behind(world):
    """Neither parts nor temporary files, after success and after refusal."""
    main(world.arguments())
    main(world.arguments(images=world.folder / "none.fits", output="none.csv"))
    assert {path.name for path in world.folder.iterdir()} == {"out.csv", "out.csv.json"}


def test_what_was_assumed_is_in_the_header(world):
    arguments = world.arguments(images=world.image(RADESYS="GSC1"))
    output = world.folder / "out.fits"
    arguments = [f"--output={output}" if one.startswith("--output") else one for one in arguments]
    assert main(arguments) == 0
    header = fits.getheader(output, 1)
    said = [str(header[card]) for card in header if card.startswith("GA_NOT")]
    assert any("RADESYS is 'GSC1', which is not known; positions taken as ICRS" in s for s in said)
    assert any("zero point 25.9463 (AB) from ABZP" in one for one in said)


def test_few_bad_pixels_are_measured_and_flagged(world, clean):
    """Hot pixels in an own DQ extension, or in a mask: the magnitudes stay."""
    with fits.open(world.sky["image"]) as hdus:
        pixels, header = hdus[0].data.copy(), hdus[0].header
    hot = np.zeros(pixels.shape, bool)
    hot[::23, ::29] = True
    pixels[hot] = 30.0
    image, mask = world.folder / "hot.fits", world.folder / "mask.fits"
    dq = fits.ImageHDU(np.where(hot, 16, 0).astype("i2"), name="DQ")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels, header, name="SCI"), dq]).writeto(image)
    fits.PrimaryHDU((~hot).astype("i2")).writeto(mask)
    assert main(world.arguments(images=image)) == 0
    found = world.output()
    kept = measured(clean) & (clean["flags"] & int(Flag.BLENDED | Flag.NEIGHBOUR) == 0)
    assert measured(found[kept]).all()
    assert has(found[kept], Flag.BAD_PIXELS).mean() > 0.5
    off = (found["magnitude"] - clean["magnitude"])[kept].abs()
    assert off.median() < 0.1
    bare = world.folder / "bare.fits"
    fits.PrimaryHDU(pixels, header).writeto(bare)
    assert main(world.arguments(images=bare, mask=mask, mask_good=True)) == 0
    pd.testing.assert_frame_equal(
        world.output().drop(columns="image"), found.drop(columns="image"), rtol=1e-5
    )
    assert main(world.arguments(images=image, max_bad_fraction=0.0)) in (0, 4)
    assert (world.output()["reason"] == "bad_pixels").sum() > 10


def test_maps_of_cutouts_are_matched_by_name(world):
    folder, masks = world.folder / "cutouts", world.folder / "masks"
    folder.mkdir()
    masks.mkdir()
    with fits.open(world.sky["image"]) as hdus:
        pixels, header = hdus[0].data, hdus[0].header
    cards = fits.Header({"BUNIT": header["BUNIT"], "ABZP": header["ABZP"]})
    for number in (2, 10, 1):
        fits.PrimaryHDU(pixels[100:200, 100:200], cards).writeto(folder / f"gal_{number}.fits")
        bad = np.zeros((100, 100), "i2")
        bad[0, number] = 1
        fits.PrimaryHDU(bad).writeto(masks / f"gal_{number}_mask.fits")
    cut = {"images": None, "catalog": None, "cutouts": folder, "pixel_scale": 0.06}
    assert main(world.arguments(**cut, mask=masks)) in (0, 4)
    assert len(world.output()) == 3
    (masks / "gal_2_mask.fits").unlink()
    assert main(world.arguments(**cut, mask=masks)) == 3
