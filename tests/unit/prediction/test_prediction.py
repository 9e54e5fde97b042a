"""From images to a catalogue: every row is there, hostile input ends in a flag or a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.table import Table
from galaxies import SIDE, ZERO_POINT

from conftest import write_set
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import FLAGS
from galadapt.core.quantity import PARAMETERS
from galadapt.prediction import measure
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.catalogue import column_names, write_catalogue
from galadapt.prediction.flags import Flag
from galadapt.prediction.inputs import prepare
from galadapt.prediction.package import read_package
from galadapt.prediction.predict import _resume_key, predict
from galadapt.prediction.survey.job import schema_of
from galadapt.stamps.format import StampSet, write_stamps


@pytest.fixture(scope="module")
def inputs(sky) -> Inputs:
    return Inputs(images=[sky["image"]], maps={"weight": [sky["weight"]]}, catalog=sky["catalog"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("measured")


@pytest.fixture(scope="module")
def whole(package, inputs, folder) -> pd.DataFrame:
    """The catalogue of the image with its weight map, also in out.fits, and a sheet.png."""
    sheet = folder / "sheet.png"
    return predict(package, inputs, folder / "out.fits", plot=sheet, plot_count=3)


@pytest.fixture(scope="module")
def unweighted(package, inputs, folder) -> pd.DataFrame:
    return predict(package, replace(inputs, maps={}), folder / "out.vot")


def has(table: pd.DataFrame, flag: Flag) -> np.ndarray:
    return (table["flags"].to_numpy() & int(flag)) > 0


def test_every_bit_has_a_meaning_and_every_bit_of_the_extraction_one_here():
    bits = [int(flag) for flag in Flag]
    assert bits == sorted({1 << bit.bit_length() - 1 for bit in bits})
    assert all(flag.meaning for flag in Flag)
    assert sorted(flag.extraction for flag in Flag if flag.extraction) == sorted(FLAGS)


def test_a_survey_knows_the_columns_beforehand(package, whole):
    names = column_names(False)
    assert list(whole.columns) == names
    assert set(names) - {"image"} <= set(schema_of(package, pa.int64()).names)


def test_every_row_of_the_catalogue_has_a_row(inputs, whole):
    table, catalog = whole, pd.read_csv(inputs.catalog)
    assert table["id"].tolist() == catalog["id"].tolist()
    assert table["ra"].to_numpy() == pytest.approx(catalog["ra"].to_numpy(), abs=1e-9)
    assert table["reason"].tolist()[-2:] == ["outside", "edge"]
    assert has(table, Flag.NO_STAMP).tolist() == (table["reason"] != "").tolist()
    measured = table[table["reason"] == ""]
    assert len(measured) >= 20
    beyond = has(measured, Flag.OUT_OF_RANGE)
    for name in PARAMETERS:
        value = measured[name]
        # An impossible prediction is none; out of the training range no error is known.
        assert (np.isfinite(value) | beyond).all()
        assert ((measured[f"{name}_err"] > 0) == ~beyond).all()
        assert (value.dropna() > 0).all() or name == "ellipticity"
        assert table.loc[table["reason"] != "", [name, f"{name}_err"]].isna().all(axis=None)
    assert measured["ellipticity"].between(0, 1).all()
    assert measured["effective_radius_arcsec"].to_numpy() == pytest.approx(
        0.06 * measured["effective_radius"].to_numpy(), nan_ok=True
    )


@pytest.mark.parametrize("suffix", [".fits", ".csv", ".parquet", ".vot", ".xml"])
def test_every_format_holds_the_same(whole, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_catalogue(path, whole, {"GA_CITE": "Someone"})
    if suffix == ".parquet":
        read = pd.read_parquet(path)
    elif suffix == ".csv":
        read = pd.read_csv(path, keep_default_na=False, na_values=[""])
        assert (tmp_path / "out.csv.json").is_file()
    elif suffix == ".fits":
        read = Table.read(path).to_pandas()
    else:
        read = Table.read(path, format="votable").to_pandas()
    for name in ("id", "magnitude", "sersic_index_err", "flags"):
        assert read[name].to_numpy(float) == pytest.approx(whole[name].to_numpy(float), nan_ok=True)


def test_headers_name_package_units_and_flags(folder, whole, unweighted):
    header = fits.getheader(folder / "out.fits", 1)
    assert header["GA_MODEL"] == "galaxies/asinh/baseline"
    assert header["GA_CITE"] == "Someone et al. 2026"
    assert header["FLAG1"].startswith("2 out_of_range")
    units = {header[f"TTYPE{k}"]: header.get(f"TUNIT{k}") for k in range(1, header["TFIELDS"] + 1)}
    assert units["magnitude_err"] == "mag"
    assert units["effective_radius"] == "pix"
    assert units["effective_radius_arcsec"] == "arcsec"
    infos = parse(str(folder / "out.vot")).resources[0].infos
    assert {"GA_DIGST", "FLAG5"} <= {info.name for info in infos}


def test_the_sheet_is_drawn(folder, whole):
    assert (folder / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_run_continues_to_the_same_bytes(package, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "PART", 1)
    paths = [tmp_path / f"{name}.fits" for name in ("whole", "broken")]
    predict(package, inputs, paths[0])
    ask = measure._measured
    asked = []

    def fail_at_the_second(*arguments):
        if asked:
            raise KeyboardInterrupt
        asked.append(True)
        return ask(*arguments)

    monkeypatch.setattr(measure, "_measured", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        predict(package, inputs, paths[1])
    parts = tmp_path / ".broken.fits.parts"
    assert not paths[1].exists()
    assert len(list(parts.glob("*.parquet"))) == 1
    rows = []

    def count(package, ensemble, field, batches, checker):
        rows.extend(row for batch in batches for row in batch.rows.tolist())
        return ask(package, ensemble, field, batches, checker)

    monkeypatch.setattr(measure, "_measured", count)
    predict(package, inputs, paths[1])
    assert 0 < len(rows) < len(pd.read_csv(inputs.catalog))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert not parts.exists()


def test_a_changed_input_starts_anew(package, inputs, tmp_path, monkeypatch, rewrite):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "_joined", stop)
    with pytest.raises(KeyboardInterrupt):
        predict(package, inputs, tmp_path / "out.csv")
    monkeypatch.undo()
    brighter = rewrite(lambda pixels: 2 * pixels, name="drz.fits")
    changed = replace(inputs, images=[brighter], maps={})
    table = predict(package, changed, tmp_path / "out.csv")
    fresh = predict(package, changed, tmp_path / "fresh.csv")
    pd.testing.assert_frame_equal(table, fresh)


def test_another_psf_in_the_same_file_starts_anew(package, inputs, tmp_path):
    """The part that was measured through the first one is not continued."""
    path = tmp_path / "psf.fits"
    keys = []
    for fwhm in (0.17, 0.3):
        drawn = galsim.Gaussian(fwhm=fwhm).drawImage(nx=41, ny=41, scale=0.06)
        fits.PrimaryHDU(drawn.array).writeto(path, overwrite=True)
        prepared = prepare(package, replace(inputs, psf=path, psf_pixel_scale=0.06))
        keys.append(_resume_key(prepared, inputs, None, False))
    assert keys[0] != keys[1]


def test_the_order_of_a_catalogue_changes_no_number(package, inputs, whole, tmp_path, catalog_of):
    catalog = pd.read_csv(inputs.catalog)
    turned = catalog_of(catalog.iloc[::-1])
    second = predict(package, replace(inputs, catalog=turned), tmp_path / "b.csv")
    pd.testing.assert_frame_equal(whole, second.iloc[::-1].reset_index(drop=True))


def test_zero_points_cancel(package, inputs, whole, tmp_path, rewrite):
    """The same sky in other units gives the same galaxies."""
    faint = rewrite(lambda pixels: pixels / 10, ABZP=ZERO_POINT - 2.5)
    with fits.open(inputs.maps["weight"][0]) as hdus:
        weight = rewrite(lambda _: 100 * hdus[0].data, name="wht.fits")
    other = replace(inputs, images=[faint], maps={"weight": [weight]})
    second = predict(package, other, tmp_path / "b.csv")
    # Rounding of the pixels moves where a fit of the sky ends, near an edge.
    assert second["magnitude"].to_numpy() == pytest.approx(
        whole["magnitude"].to_numpy(), abs=5e-3, nan_ok=True
    )
    assert (second["flags"] == whole["flags"]).all()


def test_counts_labelled_as_a_rate_are_noticed(package, inputs, tmp_path, rewrite, capsys):
    counts = rewrite(lambda pixels: 1000 * pixels)
    table = predict(package, replace(inputs, images=[counts], maps={}), tmp_path / "out.csv")
    measured = table["reason"] == ""
    assert has(table, Flag.NOISE_UNLIKE)[measured].all()
    assert "times the training's" in capsys.readouterr().err


def test_a_resampled_image_reports_its_own_pixels(package, inputs, unweighted, tmp_path, rewrite):
    """Pixels of half the size: the radius doubles in pixels and stays in arcsec."""
    scale = 0.03 / 3600
    fine = rewrite(
        lambda pixels: np.repeat(np.repeat(pixels, 2, 0), 2, 1) / 4,
        CRPIX1=400.5,
        CRPIX2=400.5,
        PC1_1=-scale,
        PC2_2=scale,
    )
    coarse = unweighted
    table = predict(package, replace(inputs, images=[fine], maps={}), tmp_path / "fine.csv")
    good = (table["reason"] == "") & (coarse["reason"] == "")
    assert good.sum() > 15
    table, coarse = table[good], coarse[good]
    ratio = table["effective_radius"] / coarse["effective_radius"]
    assert np.median(ratio) == pytest.approx(2, rel=0.01)
    assert np.median(table["magnitude"] - coarse["magnitude"]) == pytest.approx(0, abs=0.01)
    assert table["x"].to_numpy() == pytest.approx(2 * coarse["x"].to_numpy() + 0.5, abs=1e-3)
    assert table["effective_radius_arcsec"].to_numpy() == pytest.approx(
        0.03 * table["effective_radius"].to_numpy()
    )


def test_without_a_catalogue_sources_are_found(package, inputs, whole, tmp_path, capsys):
    table = predict(package, replace(inputs, catalog=None), tmp_path / "out.csv")
    assert "sources detected in the image itself" in capsys.readouterr().err
    known = whole.loc[whole["reason"] == "", ["x", "y"]].to_numpy()
    found = table[["x", "y"]].to_numpy()
    nearest = np.hypot(*(known[:, None] - found[None]).T).min(axis=0)
    assert np.median(nearest) < 0.5


def test_objects_are_found_on_the_image_that_holds_them(
    package, inputs, unweighted, tmp_path, rewrite
):
    def without(half):
        def blank(pixels):
            pixels[:, half] = np.nan
            return pixels

        return blank

    left = rewrite(without(np.s_[200:]), name="left.fits")
    right = rewrite(without(np.s_[:200]), name="right.fits")
    both = replace(inputs, images=[left, right], maps={})
    table = predict(package, both, tmp_path / "out.parquet")
    measured = table[table["reason"] == ""]
    assert len(measured) >= 14
    assert set(measured["image"]) == {"left.fits", "right.fits"}
    assert ((measured["image"] == "left.fits") == (measured["x"] < 200)).all()
    same = unweighted.loc[measured.index, "magnitude"]
    assert np.median(np.abs(measured["magnitude"] - same)) < 0.05
    assert table["id"].tolist() == unweighted["id"].tolist()


@pytest.fixture(scope="module")
def stamps(package, sets, folder) -> pd.DataFrame:
    return predict(package, Inputs(stamps=sets["survey"]), folder / "stamps.parquet")


def test_a_stamp_set_is_measured(stamps):
    assert len(stamps) == 300
    assert (stamps["reason"] == "").all()
    assert has(stamps, Flag.UNLIKE_TRAINING).mean() < 0.1


def test_larger_stamps_are_cut_to_size(package, sets, stamps, tmp_path):
    with StampSet(sets["survey"]) as source:
        padded = np.pad(source.images(), ((0, 0), (4, 4), (4, 4)))
        write_stamps(tmp_path / "large.h5", [padded], source.table, source.metadata)
    large = predict(package, Inputs(stamps=tmp_path / "large.h5"), tmp_path / "a.csv")
    assert (large["magnitude"] == stamps["magnitude"]).all()


@pytest.fixture
def cutouts(sky, tmp_path) -> Path:
    """Three cutouts: a good one, one of 14 px, one that is no FITS file."""
    folder = tmp_path / "cutouts"
    folder.mkdir()
    catalog = pd.read_csv(sky["catalog"])
    with fits.open(sky["image"]) as hdus:
        data, header = hdus[0].data, hdus[0].header
        from astropy.nddata import Cutout2D
        from astropy.wcs import WCS

        x, y = WCS(header).world_to_pixel_values(catalog["ra"][6], catalog["dec"][6])
        for name, side in (("a", 65), ("b", 14)):
            cut = Cutout2D(data, (float(x), float(y)), side, wcs=WCS(header))
            cards = cut.wcs.to_header()
            cards["BUNIT"], cards["ABZP"] = "ELECTRONS/S", ZERO_POINT
            fits.PrimaryHDU(cut.data, cards).writeto(folder / f"{name}.fits")
    (folder / "c.fits").write_bytes(b"no image")
    return folder


def test_cutouts_hold_one_object_each(package, cutouts, tmp_path):
    table = predict(package, Inputs(cutouts=[cutouts]), tmp_path / "out.csv")
    assert table["id"].tolist() == ["a", "b", "c"]
    assert table["reason"][0] == ""
    assert has(table, Flag.NO_STAMP).tolist() == [False, True, True]
    assert table["reason"][1] == "edge"
    assert "not a readable FITS file" in table["reason"][2]


def test_a_wider_psf_is_said_and_flagged(package, inputs, tmp_path, capsys):
    y, x = np.indices((51, 51)) - 25
    for name, sigma in (("same", 1.28), ("wide", 2.5)):
        psf = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
        fits.PrimaryHDU(psf).writeto(tmp_path / f"{name}.fits")
        given = replace(inputs, psf=tmp_path / f"{name}.fits", psf_pixel_scale=0.06)
        table = predict(package, given, tmp_path / "out.csv")
        assert has(table, Flag.PSF_UNLIKE).all() == (name == "wide")
    assert "train with this PSF" in capsys.readouterr().err


def test_ranges_are_flagged(package, stamps):
    ranges = read_package(package).record.training_ranges
    outside = np.zeros(len(stamps), bool)
    for name in PARAMETERS:
        outside |= ~stamps[name].between(ranges[name].low, ranges[name].high).to_numpy()
    assert outside.any()
    assert (has(stamps, Flag.OUT_OF_RANGE) == outside).all()


# --- hostile input --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "scale", "message"),
    [
        (SIDE - 8, 0.06, "stamps of 24 px; .* needs 32 px"),
        (SIDE, 0.2, r"pixels of 0\.2 arcsec; .* needs 0\.06"),
    ],
)
def test_stamps_that_do_not_fit(package, tmp_path, sets, side, scale, message):
    with StampSet(sets["survey"]) as stamps:
        images = stamps.images()[:, :side, :side]
        metadata = {**stamps.metadata, "pixel_scale": scale}
        write_stamps(tmp_path / "other.h5", [images], stamps.table, metadata)
    with pytest.raises(DataError, match=message):
        predict(package, Inputs(stamps=tmp_path / "other.h5"), tmp_path / "out.csv")


def test_a_variant_is_no_input(package, tmp_path, sets):
    with StampSet(sets["survey"]) as stamps:
        metadata = {**stamps.metadata, "variant_steps": []}
        write_stamps(tmp_path / "variant.h5", [stamps.images()], stamps.table, metadata)
    with pytest.raises(DataError, match="after a variant's chain"):
        predict(package, Inputs(stamps=tmp_path / "variant.h5"), tmp_path / "out.csv")


def test_a_zero_point_may_be_given(package, inputs, whole, tmp_path, rewrite):
    bare = replace(inputs, images=[rewrite(ABZP=None)], options={"zero_point": ZERO_POINT})
    table = predict(package, bare, tmp_path / "out.csv")
    assert (table["magnitude"].dropna() == whole["magnitude"].dropna()).all()


def test_an_image_without_wcs(package, inputs, whole, tmp_path, rewrite, catalog_of):
    bare = rewrite(CTYPE1=None, CTYPE2=None, CRVAL1=None, CRVAL2=None)
    other = replace(inputs, images=[bare], options={"native_pixel_scale": 0.06})
    inside = whole[whole["reason"] == ""]
    pixels = replace(other, catalog=catalog_of(inside[["id", "x", "y"]]))
    by_pixels = predict(package, pixels, tmp_path / "out.csv")
    assert by_pixels["ra"].isna().all()
    assert by_pixels["magnitude"].to_numpy() == pytest.approx(
        inside["magnitude"].to_numpy(), abs=1e-6
    )


def test_duplicated_ids(package, tmp_path, cutouts):
    good = cutouts / "a.fits"
    table = predict(package, Inputs(cutouts=[good, good]), tmp_path / "out.csv")
    assert has(table, Flag.DUPLICATE_ID).all()


def test_a_stamp_set_without_known_noise(package, tmp_path):
    path = write_set(tmp_path / "set.h5", "survey", 12, 9)
    with StampSet(path) as stamps:
        metadata = {key: value for key, value in stamps.metadata.items() if key != "pixel_rms"}
        write_stamps(tmp_path / "bare.h5", [stamps.images()], stamps.table, metadata)
    table = predict(package, Inputs(stamps=tmp_path / "bare.h5"), tmp_path / "out.csv")
    # Unknown noise is not like the training's.
    assert has(table, Flag.NOISE_UNLIKE).all()


def test_columns_have_valid_ucds(package, inputs, tmp_path):
    from astropy.io.votable import parse_single_table
    from astropy.io.votable.ucd import check_ucd

    predict(package, inputs, tmp_path / "out.vot")
    fields = parse_single_table(tmp_path / "out.vot").fields
    described = {field.name: field.ucd for field in fields}
    assert described["magnitude"] == "phot.mag"
    assert described["magnitude_err"] == "stat.error;phot.mag"
    assert described["flags"] == "meta.code.qual"
    for ucd in described.values():
        assert check_ucd(ucd, check_controlled_vocabulary=True, has_colon=True)
