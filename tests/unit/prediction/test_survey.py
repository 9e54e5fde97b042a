"""A survey of many mosaics: which tile measures which object, the jobs, the dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.wcs import WCS
from astropy_healpix import HEALPix

from galadapt.config.measure import Measure, MeasureCatalogue, MeasureOptions, Tile
from galadapt.core.errors import ConfigError, DataError
from galadapt.general.package import RELEASED, is_general
from galadapt.prediction.catalogue import column_names
from galadapt.prediction.flags import Flag
from galadapt.prediction.survey.dataset import merge
from galadapt.prediction.survey.job import measure_objects
from galadapt.prediction.survey.listed import check, only, read_tiles
from galadapt.prediction.survey.page import _unusual, write_page
from galadapt.prediction.survey.plan import plan, read_pieces
from galadapt.prediction.survey.tiles import Footprint, assign, inspect
from survey_tiles import SCALE, SIDE, ZERO_POINT, wcs_at, write_tile

FAST = MeasureOptions(fast=True)


def write_footprint(folder: Path, name: str, wcs: WCS, good: np.ndarray | None = None) -> Path:
    """What `inspect` writes, without an image."""
    blocks = -(-SIDE // -(-SIDE // 64))
    good = np.full((blocks, blocks), 100) if good is None else good
    about = {
        "tile": {"name": name, "image": f"{name}.fits"},
        "problem": None,
        "files": [],
        "footprint": {
            "wcs": wcs.to_header_string(),
            "shape": [SIDE, SIDE],
            "pixel_scale": SCALE,
            "good": good.tolist(),
        },
    }
    path = folder / name / "tile.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(about))
    return path


def around(ra: float, dec: float, radius: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in a square on the sky [arcsec]."""
    random = np.random.default_rng(3)
    middle = SkyCoord(ra * u.deg, dec * u.deg)
    angle = random.uniform(0, 360, count) * u.deg
    there = middle.directional_offset_by(angle, radius * random.random(count) ** 0.5 * u.arcsec)
    return there.ra.deg, there.dec.deg


@pytest.mark.parametrize("place", [(150.0, 2.0), (0.002, -30.0), (77.0, 89.995)])
def test_an_object_goes_to_the_tile_that_covers_it_best(tmp_path, place):
    centre = SkyCoord(*place, unit="deg")
    planes = []
    for angle, turned in ((0, 0.0), (120, 33.0), (240, 77.0)):
        there = centre.directional_offset_by(angle * u.deg, 22 * u.arcsec)
        planes.append(wcs_at(there.ra.deg, there.dec.deg, turned))
    paths = [write_footprint(tmp_path, f"t{k}", wcs) for k, wcs in enumerate(planes)]
    ra, dec = around(*place, radius=75, count=600)
    best, reason = assign([Footprint.read(path) for path in paths], ra, dec)
    room = []
    for wcs in planes:
        x, y = wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))
        room.append(np.min([x + 0.5, SIDE - 0.5 - x, y + 0.5, SIDE - 0.5 - y], axis=0))
    expected = np.where(np.max(room, axis=0) > 0, np.argmax(room, axis=0), -1)
    np.testing.assert_array_equal(best, expected)
    assert set(np.unique(best)) == {-1, 0, 1, 2}
    assert (reason == np.where(expected < 0, "outside", "")).all()


def test_an_empty_frame_is_no_data(tmp_path):
    good = np.full((60, 60), 100)
    good[:, :40] = 0
    half = write_footprint(tmp_path, "half", wcs_at(10, 0), good)
    whole = write_footprint(tmp_path, "whole", wcs_at(10.005, 0))
    # The first lies where the first image has its frame, and nearer to the second one's edge.
    ra, dec = (k.ravel() for k in wcs_at(10, 0).pixel_to_world_values([150, 240, 250], [150] * 3))
    ra, dec = np.append(ra, np.nan), np.append(dec, 0.0)
    footprints = [Footprint.read(path) for path in (half, whole)]
    assert assign(footprints, ra, dec)[0].tolist() == [1, 0, 0, -1]
    assert assign(footprints[:1], ra, dec)[1].tolist() == ["no_data", "", "", "no_position"]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "fits", "ecsv"])
def test_a_catalogue_read_in_pieces_is_the_catalogue(tmp_path, suffix):
    path = tmp_path / f"list.{suffix}"
    table = Table({"NUMBER": np.arange(7) + 3, "RA": np.linspace(359, 365, 7) % 360})
    table["DEC"] = np.linspace(-1, 1, 7)
    table["DEC"][5] = -99
    table["DEC"].unit = table["RA"].unit = "deg"
    table.write(path, **({"format": "parquet"} if suffix == "parquet" else {}))
    found = list(read_pieces(path, MeasureCatalogue(path=str(path)), rows=3))
    assert [len(piece) for piece in found] == ([7] if suffix == "ecsv" else [3, 3, 1])
    whole = pd.concat(found)
    assert whole["id"].tolist() == list(range(3, 10))
    known = np.arange(7) != 5
    np.testing.assert_allclose(whole["ra"][known], np.array(table["RA"])[known])
    assert np.isnan(whole["dec"].iloc[5])


def test_objects_without_identifiers_are_numbered_over_all_pieces(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("ra,dec\n" + "10,1\n" * 5)
    whole = pd.concat(read_pieces(path, MeasureCatalogue(path=str(path)), rows=2))
    assert whole["id"].tolist() == [1, 2, 3, 4, 5]
    path.write_text("id,x,y\n1,3,4\n")
    with pytest.raises(DataError, match=r"list\.csv: has no columns for ra and dec"):
        list(read_pieces(path, MeasureCatalogue(path=str(path))))


def test_the_plan_loses_no_object_and_knows_pairs_across_jobs(tmp_path):
    order, most = 12, 1
    tiles = [write_footprint(tmp_path, f"t{k}", wcs_at(30 + 0.012 * k, 5)) for k in range(2)]
    ra, dec = around(30.005, 5, radius=60, count=200)
    # A pair of one place: the first and the last object.
    ra[0], dec[0] = 30.002, 5.0
    ra[-1], dec[-1] = ra[0], dec[0] + 0.5 * SCALE / 3600
    ids = [*range(100, 298), 7, 7]
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    pd.DataFrame({"id": ids[:120], "ra": ra[:120], "dec": dec[:120]}).to_csv(first, index=False)
    pd.DataFrame({"id": ids[120:], "ra": ra[120:], "dec": dec[120:]}).to_csv(second, index=False)
    catalogues = [(path, MeasureCatalogue(path=str(path))) for path in (first, second)]

    def planned(name: str, listed: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        folder = tmp_path / name
        outputs = folder / "objects", folder / "jobs.csv", folder / "unmeasured.parquet"
        plan(listed, catalogues, order, most, *outputs)
        parts = [
            pd.read_parquet(path).assign(
                tile=path.parent.name, cell=int(path.stem.split("-")[0]), job=str(path)
            )
            for path in sorted(outputs[0].rglob("*.parquet"))
        ]
        return pd.concat(parts), pd.read_csv(outputs[1]), pd.read_parquet(outputs[2])

    objects, jobs, lost = planned("plan", tiles)
    assert jobs["objects"].max() == most
    assert jobs["objects"].sum() == len(objects)
    assert (lost["reason"] == "outside").all()
    assert len(lost) > 0
    # Identifiers of all objects that are left stay whole numbers.
    both = sorted([*objects["id"], *lost["id"].astype(int)])
    assert both == sorted(ids)
    cells = HEALPix(2**order, "nested").lonlat_to_healpix(
        objects["ra"].to_numpy() * u.deg, objects["dec"].to_numpy() * u.deg
    )
    np.testing.assert_array_equal(objects["cell"], cells)
    pair = objects[objects["flags"] & int(Flag.COINCIDENT) > 0]
    assert sorted(pair["catalogue"]) == ["first.csv", "second.csv"]
    same = objects[objects["flags"] & int(Flag.DUPLICATE_ID) > 0]
    assert set(same["id"]) <= {7}
    again = planned("again", tiles[::-1])
    pd.testing.assert_frame_equal(jobs, again[1])
    for path in (tmp_path / "plan" / "objects").rglob("*.parquet"):
        other = tmp_path / "again" / path.relative_to(tmp_path / "plan")
        assert path.read_bytes() == other.read_bytes()


def test_objects_that_lie_elsewhere_are_refused_with_counts(tmp_path):
    tile = write_footprint(tmp_path, "t", wcs_at(30, 5))
    path = tmp_path / "list.csv"
    path.write_text("id,ra,dec\n1,30,-5\n2,31,5\n")
    given = [(path, MeasureCatalogue(path=str(path)))]
    outputs = tmp_path / "objects", tmp_path / "jobs.csv", tmp_path / "unmeasured.parquet"
    with pytest.raises(DataError, match="no object lies on a tile \\(2 outside\\)"):
        plan([tile], given, 6, 10, *outputs)
    assert not outputs[0].exists()


# --- with images --------------------------------------------------------------------------------


PLACES = np.array([[100.0, 150.0], [200.0, 60.0], [60.0, 240.0]])


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    """Two tiles that overlap by two thirds, measured by the shipped package to the page."""
    if not is_general(RELEASED):
        pytest.skip("no package is released")
    folder = tmp_path_factory.mktemp("survey")
    left, right = wcs_at(200, -3), wcs_at(200 - 100 * SCALE / 3600, -3)
    sky = left.pixel_to_world_values(*PLACES.T)
    tiles = {
        name: Tile(**{key: str(folder / value) for key, value in files.items()}, name=name)
        for name, files in (
            ("a", write_tile(folder, "a", left, PLACES.T)),
            ("b", write_tile(folder, "b", right, right.world_to_pixel_values(*sky))),
        )
    }
    rows = {"id": ["p", "q", "r", "away"], "ra": [*sky[0], 20.0], "dec": [*sky[1], 0.0]}
    pd.DataFrame(rows).to_csv(folder / "list.csv", index=False)
    for name, tile in tiles.items():
        target = folder / "tiles" / name
        inspect(tile, RELEASED, FAST, False, False, target / "tile.json", target / "made")
    paths = [folder / "tiles" / name / "tile.json" for name in tiles]
    about = MeasureCatalogue(path=str(folder / "list.csv"))
    outputs = folder / "objects", folder / "jobs.csv", folder / "unmeasured.parquet"
    plan(paths, [(folder / "list.csv", about)], 3, 100, *outputs)
    for row in pd.read_csv(outputs[1]).itertuples():
        job(folder, row.tile, f"{row.cell}-{row.part}", folder)
    merge(outputs[1], folder / "parts", 3, folder / "catalogue", folder / "counts.json")
    write_page(
        *(folder / "counts.json", folder / "catalogue", outputs[1], paths),
        *(outputs[2], folder / "costs", folder / "page.html"),
    )
    return folder


def job(folder: Path, tile: str, name: str, target: Path, skip: bool = False) -> Path:
    output = target / "parts" / tile / f"{name}.parquet"
    measure_objects(
        folder / "tiles" / tile / "tile.json",
        folder / "objects" / tile / f"{name}.parquet",
        *(RELEASED, FAST, None, skip, output, target / "costs" / tile / f"{name}.json"),
        {"digest": "d"},
    )
    return output


def test_every_object_is_measured_once_on_its_tile(survey):
    table = pd.read_parquet(survey / "catalogue" / "dataset").set_index("id")
    # The two at the left are farther from the edge of a, the other one of b.
    assert table["tile"].to_dict() == {"p": "a", "q": "b", "r": "a"}
    assert (table["reason"] == "").all()
    np.testing.assert_allclose(table["magnitude"], ZERO_POINT - 2.5 * np.log10(60), atol=0.1)
    lost = pd.read_parquet(survey / "unmeasured.parquet")
    assert lost[["id", "reason"]].to_numpy().tolist() == [["away", "outside"]]


def test_the_dataset_is_laid_out_as_hats(survey):
    dataset = survey / "catalogue" / "dataset"
    counts = json.loads((survey / "counts.json").read_text())
    assert counts["rows"] == 3
    paths = {path.name: path for path in dataset.rglob("Npix=*.parquet")}
    assert set(paths) == {f"Npix={one['cell']}.parquet" for one in counts["cells"]}
    first = next(iter(paths.values()))
    assert first.parent.relative_to(dataset).as_posix() == "Norder=3/Dir=0"
    assert pyarrow.dataset.parquet_dataset(dataset / "_metadata").count_rows() == 3
    schema = pq.read_schema(dataset / "_common_metadata")
    names = ["catalogue", "tile"]
    columns = column_names(True)
    listed = [c for name in columns for c in (names if name == "image" else [name])]
    assert schema.names == ["_healpix_29", *listed]
    notes = json.loads(schema.metadata[b"galadapt"])
    assert notes["GA_MODEL"]
    # What holds for one tile alone is not said of all.
    assert "GA_INPUT" not in notes


def test_the_page_shows_counts_maps_and_what_is_missing(survey):
    page = (survey / "page.html").read_text()
    assert "3 objects on 2 tiles" in page
    assert "1 objects were not measured: outside" in page
    assert page.count("data:image/png") == 3
    assert "<script" not in page


def test_a_tile_with_many_flags_is_named():
    tiles = pd.DataFrame(
        {"objects": [400] * 6 + [20], "flagged": [80, 85, 78, 82, 79, 240, 20]},
        index=[*"abcdef", "small"],
    )
    assert [(one["tile"], one["share"]) for one in _unusual(tiles)] == [("f", "60.0%")]


def test_a_job_of_an_unreadable_tile_fails_or_gives_rows(survey, tmp_path):
    path = survey / "tiles" / "a" / "tile.json"
    known = json.loads(path.read_text())
    known["tile"]["image"] = str(tmp_path / "gone.fits")
    bad = tmp_path / "tiles" / "a" / "tile.json"
    bad.parent.mkdir(parents=True)
    bad.write_text(json.dumps(known))
    (tmp_path / "objects").symlink_to(survey / "objects")
    (good,) = (survey / "parts" / "a").glob("*.parquet")
    with pytest.raises(DataError, match=r"^tile a: .*gone\.fits"):
        job(tmp_path, "a", good.stem, tmp_path)
    assert not (tmp_path / "parts" / "a" / good.name).exists()
    made = job(tmp_path, "a", good.stem, tmp_path, skip=True)
    table = pd.read_parquet(made)
    assert (table["reason"] == "tile").all()
    assert (table["flags"] == int(Flag.NO_STAMP)).all()
    assert table["magnitude"].isna().all()
    assert pq.read_schema(made).equals(pq.read_schema(good))


def test_a_tile_that_cannot_be_used_is_refused_or_left_out(survey, tmp_path):
    tile = read_tiles(Measure(tiles=[Tile(image=str(survey / "psf.fits"))]))["psf"]
    target = tmp_path / "tile.json"
    with pytest.raises(DataError, match=r"^tile psf: "):
        inspect(tile, RELEASED, FAST, False, False, target, tmp_path / "made")
    assert not target.exists()
    inspect(tile, RELEASED, FAST, False, True, target, tmp_path / "made")
    footprint = Footprint.read(target)
    assert "psf" in str(footprint.problem)
    assert assign([footprint], np.array([1.0]), np.array([2.0]))[1].tolist() == ["outside"]


def test_sources_of_several_tiles_are_measured_once(survey, tmp_path):
    paths = []
    for name in ("a", "b"):
        tile = Tile.model_validate(
            json.loads((survey / "tiles" / name / "tile.json").read_text())["tile"]
        )
        target = tmp_path / name / "tile.json"
        inspect(tile, RELEASED, FAST, True, False, target, target.with_name("made"))
        paths.append(target)
    plan(paths, [], 3, 100, tmp_path / "objects", tmp_path / "jobs", tmp_path / "lost.parquet")
    parts = [pd.read_parquet(path) for path in (tmp_path / "objects").rglob("*.parquet")]
    found = pd.concat(parts)
    known = pd.read_parquet(survey / "catalogue" / "dataset")
    assert len(found) == 3
    away = np.hypot(
        found["ra"].to_numpy()[:, None] - known["ra"].to_numpy(),
        found["dec"].to_numpy()[:, None] - known["dec"].to_numpy(),
    )
    assert (away.min(axis=1) < 1 / 3600).all()
    assert len(pd.read_parquet(tmp_path / "lost.parquet")) == 0


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,wieght\na.fits,w.fits\n", "row 1: wieght: Extra inputs"),
        ("picture\na.fits\n", "row 1: image: Field required"),
        ("image\nx/a.fits\ny/a.fits\n", "'a' stands twice"),
        ("image,psf_pixel_scale\na.fits,-1\n", "row 1: psf_pixel_scale: Input should be greater"),
        ("image\n-a.fits\n", "'-a' cannot be a name in paths"),
    ],
)
def test_a_wrong_table_of_tiles_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "tiles.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_tiles(Measure(tiles=str(path)))


def test_catalogues_of_one_name_are_refused():
    same = [{"path": "a/list.csv"}, {"path": "b/list.csv"}]
    with pytest.raises(ValueError, match="two files have the same name"):
        Measure.model_validate({"tiles": "tiles.csv", "catalogues": same})


def test_a_table_of_tiles_is_read_with_its_empty_cells(tmp_path):
    path = tmp_path / "tiles.csv"
    path.write_text("name,image,hdu,psf_hdu,zero_point\n01,a.fits,SCI,,\n02,b.fits,2,1,25.5\n")
    measure = Measure(tiles=str(path))
    tiles = read_tiles(measure)
    assert tiles["01"].image == str(tmp_path / "a.fits")
    assert (tiles["01"].hdu, tiles["01"].psf_hdu, tiles["01"].zero_point) == ("SCI", None, None)
    assert (tiles["02"].hdu, tiles["02"].psf_hdu, tiles["02"].zero_point) == (2, 1, 25.5)
    assert only(measure, "02").tiles == [tiles["02"]]
    with pytest.raises(ConfigError, match=r"no file .*a\.fits \(2 missing\)"):
        check(measure)
