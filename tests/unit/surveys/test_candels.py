"""CANDELS from an archive (a local server): files, headers, catalogues, parts of the sky."""

from __future__ import annotations

import functools
import http.server
import io
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.io import fits
from field_files import write_galfit
from pydantic import ValidationError

from galadapt.config.image import Image, OpticalPsf
from galadapt.config.machine import Downloads
from galadapt.config.survey import CandelsSurvey, Extraction, MockSurvey, Selection, Splits
from galadapt.core.errors import ConfigError, DataError
from galadapt.cutouts.cutouts import extract
from galadapt.sky.catalogues import read_galfit
from galadapt.sky.sky import without_stale_distortion
from galadapt.stamps.format import StampSet
from galadapt.surveys import candels
from galadapt.surveys.field import Field, read_catalogue
from galadapt.surveys.mock import make_mock
from galadapt.surveys.selection import select
from galadapt.tasks.reading import load

IMAGE = Image(stamp_size=64)
DRZ = "hlsp_candels_hst_wfc3_cos-tot_f160w_v1.0_drz.fits"
WHT = DRZ.replace("drz", "wht")
INSIDE = "cosmos/cosmos_3dhst.v4.1_f160w.galfit"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def mock(tmp_path_factory) -> Path:
    """A small mock field: the mosaic and catalogue the archive of the tests publishes."""
    folder = tmp_path_factory.mktemp("mock")
    survey, field = MockSurvey(n_galaxies=30, faint_ratio=0.0), _field(folder)
    make_mock(survey, IMAGE, OpticalPsf(), 3, field, provenance={})
    write_galfit(folder / "catalog.galfit", read_catalogue(field.catalogue))
    return folder


def _field(folder: Path) -> Field:
    names = ("drz.fits", "wht.fits", "catalogue.parquet", "truth.parquet")
    return Field(*(folder / name for name in names))


def _tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))


@pytest.fixture
def archive(mock, tmp_path) -> Path:
    """The folder a mirror or the server offers; tests may break what is in it."""
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / DRZ).write_bytes((mock / "drz.fits").read_bytes())
    (folder / WHT).write_bytes((mock / "wht.fits").read_bytes())
    _tar(folder / "allfields.tar", {INSIDE: (mock / "catalog.galfit").read_bytes()})
    return folder


@pytest.fixture
def server(archive) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(archive))
    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http_server.server_port}"
    http_server.shutdown()
    http_server.server_close()
    thread.join()


def _table(folder: Path, base: str = "http://127.0.0.1:9") -> Path:
    words = {"what": "", "citation": "", "licence": "", "checked": True}
    names = {"candels-cos-drz": DRZ, "candels-cos-wht": WHT, "vdw2014": "allfields.tar"}
    names |= {"vdw2012": "vdw2012.tsv"}
    files = {k: {"file": v, "urls": [f"{base}/{v}"], **words} for k, v in names.items()}
    path = folder / "archives.yaml"
    path.write_text(yaml.safe_dump({"files": files}))
    return path


def _make(folder: Path, image: Image = IMAGE, **settings: object) -> Field:
    given = {
        "folder": str(folder / "downloads"),
        "archives": str(folder / "archives.yaml"),
        "checksums": str(folder / "checksums.txt"),
    }
    if not (folder / "archives.yaml").exists():
        _table(folder)
        given |= {"offline": True, "mirrors": [str(folder / "archive")]}
    own = {name: settings.pop(name) for name in list(settings) if name in Downloads.model_fields}
    survey = CandelsSurvey.model_validate(settings)
    downloads = Downloads.model_validate({**given, **own})
    field = _field(folder / "field")
    candels.make_candels(survey, image, field, {"a": 1}, downloads)
    return field


def test_from_the_archive_to_stamps(server, mock, tmp_path, capfd):
    _table(tmp_path, server)
    paths = _make(tmp_path)
    assert paths.drz.read_bytes() == (mock / "drz.fits").read_bytes()
    assert paths.drz.stat().st_ino == (tmp_path / "downloads" / DRZ).stat().st_ino
    count = len(read_catalogue(mock / "catalogue.parquet"))
    recorded = (tmp_path / "checksums.txt").read_text()
    assert [line.split()[1] for line in recorded.splitlines()] == ["allfields.tar", DRZ, WHT]
    assert f"{count} objects on the mosaic, 0 of the catalogue outside" in capfd.readouterr().err
    selected = tmp_path / "selected.parquet"
    kept = select(paths.catalogue, Selection(max_flag=1), IMAGE, selected, tmp_path / "cuts.csv")
    stamps = tmp_path / "stamps.h5"
    table = extract(
        drz=paths.drz,
        wht=paths.wht,
        selected=selected,
        image=IMAGE,
        extraction=Extraction(),
        splits=Splits(),
        seed=1,
        output=stamps,
        rejected=tmp_path / "rejected.csv",
        provenance={},
    )
    assert 5 <= len(table) <= len(kept)
    with StampSet(stamps) as found:
        brightest = int(found.table["magnitude"].argmin())
        stamp = found.images([brightest])[0]
    # The brightest galaxy stands where the catalogue says.
    assert stamp[28:36, 28:36].mean() > 10 * np.median(np.abs(stamp))


def test_a_second_run_needs_no_server_and_links_again(server, tmp_path):
    _table(tmp_path, server)
    first = _make(tmp_path)
    before = [path.read_bytes() for path in vars(first).values()]
    again = _make(tmp_path, offline=True)
    assert [path.read_bytes() for path in vars(again).values()] == before


def test_offline_without_the_files(tmp_path):
    _table(tmp_path, "https://archive.example")
    with pytest.raises(DataError, match=f"https://archive.example/{DRZ}") as caught:
        _make(tmp_path, offline=True)
    assert str(tmp_path / "downloads" / DRZ) in str(caught.value)
    assert not (tmp_path / "field").exists()


def test_a_part_of_the_sky_is_cut_out(archive, mock, tmp_path):
    table = read_catalogue(mock / "catalogue.parquet")
    ra, dec = table["ra"].median(), table["dec"].median()
    region = {"ra": [ra - 0.003, ra + 0.003], "dec": [dec - 0.004, dec + 0.004]}
    paths = _make(tmp_path, region=region)
    with fits.open(paths.drz) as part, fits.open(mock / "drz.fits") as whole:
        small, large = part[0].data, whole[0].data
        assert part[0].header["BUNIT"] == "ELECTRONS/S"
        x0 = round(whole[0].header["CRPIX1"] - part[0].header["CRPIX1"])
        y0 = round(whole[0].header["CRPIX2"] - part[0].header["CRPIX2"])
        assert x0 > 0 < y0
        ny, nx = small.shape
        assert abs(nx - 0.006 * 3600 / 0.06) < 5
        np.testing.assert_array_equal(small, large[y0 : y0 + ny, x0 : x0 + nx])
    with fits.open(paths.wht) as weight:
        assert weight[0].data.shape == (ny, nx)
    truth = pd.read_parquet(paths.truth)
    assert 0 < len(truth) < len(table)
    assert truth["x"].between(-0.5, nx - 0.5).all()
    everything = pd.read_parquet(_make(tmp_path, offline=True, mirrors=[str(archive)]).truth)
    known = everything.set_index("id").loc[truth["id"]]
    np.testing.assert_allclose(truth["x"] + x0, known["x"], atol=1e-6)
    np.testing.assert_allclose(truth["y"] + y0, known["y"], atol=1e-6)


def test_a_part_outside_the_mosaic_or_too_small_is_refused(archive, tmp_path):
    with pytest.raises(DataError, match=r"survey\.region lies outside the mosaic"):
        _make(
            tmp_path, region={"ra": [10, 11], "dec": [1, 2]}, offline=True, mirrors=[str(archive)]
        )
    tiny = {"ra": [150.1, 150.1002], "dec": [2.3, 2.3002]}
    with pytest.raises(DataError, match=r"smaller than a stamp of 64 px; widen survey\.region"):
        _make(tmp_path, region=tiny, offline=True, mirrors=[str(archive)])


def test_the_mosaic_is_not_held_in_memory(archive, tmp_path):
    side = 5000
    header = fits.getheader(archive / DRZ)
    for name in (DRZ, WHT):
        sparse = fits.Header(header, copy=True)
        sparse["NAXIS1"] = sparse["NAXIS2"] = side
        sparse["BITPIX"] = -32
        text = sparse.tostring(padding=True).encode()
        with (archive / name).open("wb") as stream:
            stream.write(text)
            stream.truncate(len(text) + 4 * side * side + 2880)
    region = {"ra": [150.09, 150.11], "dec": [2.29, 2.31]}
    for settings in ({}, {"region": region}):
        tracemalloc.start()
        _make(tmp_path, offline=True, mirrors=[str(archive)], **settings)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6 < 4 * side * side


def _edit(path: Path, **cards: object) -> None:
    with fits.open(path, mode="update") as hdus:
        for key, value in cards.items():
            if value is None:
                del hdus[0].header[key]
            else:
                hdus[0].header[key] = value


@pytest.mark.parametrize(
    ("name", "cards", "message"),
    [
        (DRZ, {"BUNIT": "COUNTS"}, "BUNIT is 'COUNTS', not ELECTRONS/S"),
        (DRZ, {"BUNIT": None}, "BUNIT is '', not ELECTRONS/S"),
        (DRZ, {"CD1_1": -3e-5, "CD2_2": 3e-5}, "pixel scale is 0.1080 arcsec"),
        (DRZ, {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "no celestial WCS"),
        (DRZ, {"CRVAL1": 40.0}, "objects lies on the mosaic; give the catalogue of field cos"),
    ],
)
def test_headers_that_disagree_are_refused(archive, tmp_path, name, cards, message):
    _edit(archive / name, **cards)
    with pytest.raises(DataError, match=message):
        _make(tmp_path)
    assert not (tmp_path / "field" / "catalogue.parquet").exists()


@pytest.mark.parametrize("photflam", [1.9275602e-20, 1.9275602e-19])
def test_any_calibration_is_accepted(archive, tmp_path, photflam):
    """The extraction brings the fluxes to the experiment's zero point."""
    # The archive's files hold no ABZP, unlike the mock's that stand in for them.
    _edit(archive / DRZ, ABZP=None, PHOTFLAM=photflam, PHOTPLAM=15369.176)
    assert _make(tmp_path).catalogue.exists()


def test_truncated_foreign_and_swapped_files_are_refused(archive, tmp_path):
    whole = (archive / WHT).read_bytes()
    (archive / WHT).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"not a readable FITS file .*truncated"):
        _make(tmp_path)
    (tmp_path / "downloads" / WHT).unlink()
    (tmp_path / "checksums.txt").unlink()
    fits.PrimaryHDU(np.ones((70, 80), np.float32)).writeto(archive / WHT, overwrite=True)
    with pytest.raises(DataError, match="80 x 70 px for a mosaic of"):
        _make(tmp_path, offline=True, mirrors=[str(archive)])


def test_stale_distortion_is_ignored(archive, mock, tmp_path):
    plain = pd.read_parquet(_make(tmp_path).truth)
    (tmp_path / "downloads" / DRZ).unlink()
    (tmp_path / "checksums.txt").unlink()
    _edit(archive / DRZ, A_ORDER=2, B_ORDER=2, A_2_0=1e-4, B_0_2=1e-4)
    paths = _make(tmp_path, offline=True, mirrors=[str(archive)])
    pd.testing.assert_frame_equal(pd.read_parquet(paths.truth), plain)
    header = fits.getheader(archive / DRZ)
    assert "A_2_0" in header
    assert "A_2_0" not in without_stale_distortion(header)
    header["CTYPE1"] += "-SIP"
    assert "A_2_0" in without_stale_distortion(header)


HEADER = "#   NUMBER RA DEC f mag dmag re dre n dn q dq pa dpa sn\n#\n"


def _row(number, ra=150.1, dec=2.3, f=0, mag=21.0, re=0.5, n=1.0, q=0.5):
    return f"{number} {ra} {dec} {f} {mag} .1 {re} .1 {n} .1 {q} .1 30 1 50\n"


def test_values_that_cannot_be_labels_get_a_flag_and_a_reason(archive, tmp_path, capfd):
    rows = [
        _row(1),
        _row(2, f=1),
        _row(3, f=2),
        "4 150.1 2.3 3" + " -999" * 10 + " 5\n",
        _row(5, re=0.018),
        _row(6, mag=-4.0),
        _row(7, mag="nan"),
        _row(8, n=-1),
        _row(9, q=1.5),
        _row(10, ra=150.9),
        _row(11, ra="nan"),
        _row(12, ra=330.1, dec=-2.3),
        _row(13, mag=99.0, f=1),
    ]
    (tmp_path / "cat.txt").write_text(HEADER + "".join(rows))
    paths = _make(tmp_path, catalog=str(tmp_path / "cat.txt"))
    truth = pd.read_parquet(paths.truth).set_index("id")
    assert list(truth.index) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 13]
    assert truth["reason"].to_dict() == {
        1: "",
        2: "suspicious_fit",
        3: "bad_fit",
        4: "no_fit",
        5: "radius_at_floor",
        6: "absurd_magnitude",
        7: "no_fit",
        8: "impossible_values",
        9: "impossible_values",
        13: "absurd_magnitude",
    }
    assert truth["flag"].to_list() == [0, 1, 2, 3, 2, 2, 3, 3, 3, 2]
    assert truth["catalog_flag"].to_list() == [0, 1, 2, 3, 0, 0, 0, 0, 0, 1]
    assert (read_catalogue(paths.catalogue)["flag"].to_numpy() == truth["flag"]).all()
    told = capfd.readouterr().err
    assert "10 objects on the mosaic, 3 of the catalogue outside; 2 absurd_magnitude, 1 bad" in told


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (_row(1) + _row(1, dec=2.3001), "NUMBER 1 stands twice"),
        (_row(1, ra=2.3, dec=150.1), "RA and DEC seem to be swapped"),
        (_row(1, ra=10.0, dec=-30.0), "lies on the mosaic; give the catalogue of field cos"),
        ("", "table has no rows"),
    ],
)
def test_catalogues_of_something_else_are_refused(archive, tmp_path, rows, message):
    (tmp_path / "cat.txt").write_text(HEADER + rows)
    with pytest.raises(DataError, match=message) as caught:
        _make(tmp_path, catalog=str(tmp_path / "cat.txt"))
    assert str(tmp_path / "cat.txt") in str(caught.value)
    assert not (tmp_path / "field").exists()


def test_the_archive_of_another_release_is_named(archive, tmp_path):
    _tar(archive / "allfields.tar", {"uds/uds.galfit": b""})
    with pytest.raises(DataError, match=r"holds no cosmos_3dhst\.v4\.1_f160w\.galfit"):
        _make(tmp_path)


def test_the_release_of_2012_is_vizier(archive, mock, tmp_path):
    table = pd.read_csv(mock / "catalog.galfit", sep=r"\s+", skiprows=2, header=None)
    names = ["Seq", "RAJ2000", "DEJ2000", "Q", "mag", "e_mag", "r", "e_r", "n", "e_n"]
    names += ["q", "e_q", "PA", "e_PA", "S/N"]
    frame = table.set_axis(names, axis=1)
    # VizieR lists every filter, and other fields use the same numbers.
    far = frame.assign(RAJ2000=34.4, DEJ2000=-5.2)
    frame = pd.concat(
        [frame.assign(F="J", mag=1.0), frame.assign(F="H"), far.assign(F="H")], ignore_index=True
    )
    body = frame.to_csv(sep="\t", index=False)
    head, _, rows = body.partition("\n")
    units = "\t".join("deg" if "2000" in name else " " for name in frame.columns)
    rule = "\t".join("----" for _ in frame.columns)
    text = f"#\n#   VizieR\n#Table\tJ_ApJS_203_24\n{head}\n{units}\n{rule}\n{rows}\n"
    (archive / "vdw2012.tsv").write_text(text)
    found = read_catalogue(_make(tmp_path, release=2012).catalogue)
    pd.testing.assert_frame_equal(found, read_catalogue(mock / "catalogue.parquet"), rtol=1e-9)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValidationError, match="release 2012 does not cover field egs"):
        CandelsSurvey(field="egs", release=2012)
    with pytest.raises(ValidationError, match=r"must lie inside \[0, 360\]"):
        CandelsSurvey.model_validate({"region": {"ra": [-1, 1], "dec": [0, 1]}})
    with pytest.raises(ValidationError, match=r"must lie inside \[-90, 90\]"):
        CandelsSurvey.model_validate({"region": {"ra": [0, 1], "dec": [0, 95]}})


def test_a_missing_table_of_archives_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        _make(tmp_path, archives=str(tmp_path / "absent.yaml"))


@pytest.mark.realdata
def test_the_real_catalogue(galadapt_data, repository, tmp_path):
    source = galadapt_data / "vdw2014" / "cosmos_3dhst.v4.1_f160w_sample.galfit"
    flagged = candels._flagged(read_galfit(source))
    counts = flagged["reason"].value_counts().to_dict()
    assert counts == {
        "": 3407,
        "suspicious_fit": 539,
        "bad_fit": 2031,
        "no_fit": 12,
        "radius_at_floor": 6,
        "absurd_magnitude": 5,
    }
    field = _field(tmp_path)
    field.write_tables(flagged, flagged, "", {})
    paper = load(
        repository / "config" / "config.yaml", repository / "config" / "presets" / "paper.yaml"
    )
    cuts = tmp_path / "cuts.csv"
    kept = select(field.catalogue, paper.selection, paper.image, tmp_path / "s.parquet", cuts)
    assert pd.read_csv(cuts).set_index("cut")["remaining"].to_dict() == {
        "catalog": 6000,
        "fit": 5988,
        "flag": 3407,
        "magnitude": 2089,
        "effective_radius": 1989,
        "sersic_index": 1927,
        "ellipticity": 1876,
        "signal_to_noise": 1876,
    }
    assert kept["magnitude"].between(16, 25).all()
