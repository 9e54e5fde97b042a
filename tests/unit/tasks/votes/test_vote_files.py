"""Real images and published votes: what becomes a stamp set, and what is rejected and why."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from PIL import Image
from pydantic import ValidationError

from galadapt.answers.votes.tree import Tree, read_campaign
from galadapt.core.errors import DataError
from galadapt.stamps.format import StampSet
from galadapt.tasks.votes.data import MockVotes, RealVotes, VoteFiles, VoteNames, VoteSplits
from galadapt.tasks.votes.files import Source, read_votes, split
from galadapt.tasks.votes.stages import survey_votes

SIDE = 24


def _images(folder: Path, names: list[str], ending: str = ".jpg") -> Path:
    folder.mkdir(exist_ok=True)
    for k, name in enumerate(names):
        pixels = np.random.default_rng(k).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}{ending}")
    return folder


def _walk(tree: Tree, volunteers: int, seed: int) -> np.ndarray:
    """Votes of volunteers who walk the tree."""
    rng = np.random.default_rng(seed)
    votes = np.zeros(len(tree.names))
    for part, parent in zip(tree.parts, tree.parents, strict=True):
        reached = volunteers if parent is None else int(votes[parent])
        count = part.stop - part.start
        votes[part] = rng.multinomial(reached, rng.dirichlet(np.ones(count)))
    return votes


def _table(
    campaign: str, ids: list[Any], column: str, kind: str = "counts", named: int = 0
) -> pd.DataFrame:
    """Made-up votes with the published names of the columns; `named` is which of several."""
    tree = Tree.read(campaign)
    votes = np.array([_walk(tree, 40, k) for k in range(len(ids))])
    names = [
        text.split()[min(named, len(text.split()) - 1)] for text in read_campaign(campaign)[kind]
    ]
    table = pd.DataFrame(votes / 40 if kind == "share" else votes.astype(int), columns=names)
    table.insert(0, column, ids)
    return table


def _read(
    folder: Path, source: Source, seed: int = 1, processes: int = 1, **settings: Any
) -> tuple[StampSet, pd.DataFrame]:
    options = {"side": SIDE, "crop": 1.0, **settings}
    output, rejected = folder / "out.h5", folder / "rejected.csv"
    read_votes(RealVotes(**options), source, seed, output, rejected, {"by": "test"}, processes)
    return StampSet(output), pd.read_csv(rejected, dtype=str, keep_default_na=False)


def _votes(stamps: StampSet) -> np.ndarray:
    tree = Tree.from_list(stamps.metadata["tree"])
    return stamps.table[[f"votes_{name}" for name in tree.names]].to_numpy()


def _saved(table: pd.DataFrame, path: Path) -> Path:
    if path.name.endswith((".csv", ".csv.gz")):
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        formats = {".fits": "fits", ".ecsv": "ascii.ecsv", ".xml": "votable"}
        Table.from_pandas(table).write(path, format=formats[path.suffix])
    return path


# --- trees and columns ----------------------------------------------------------------------


CAMPAIGNS = get_args(RealVotes.model_fields["campaign"].annotation)


def test_settings_name_every_campaign() -> None:
    trees = files("galadapt.answers.votes").joinpath("trees").iterdir()
    assert {Path(path.name).stem for path in trees} == set(CAMPAIGNS)


@pytest.mark.parametrize(
    ("campaign", "questions", "answers", "columns"),
    [
        ("gz2", 11, 37, ["t04_spiral_a08_spiral_count", "t08_odd_feature_a38_dust_lane_count"]),
        ("decals12", 10, 30, ["bulge-size_obvious", "how-rounded_completely", "bar-dr12_yes"]),
        ("decals", 10, 34, ["bar_weak", "spiral-arm-count_cant-tell", "merging-dr5_merger"]),
        ("desi", 10, 34, ["merging_minor-disturbance", "edge-on-bulge-dr8_boxy"]),
        ("hubble", 12, 34, ["smooth-or-featured-hubble_features", "clumpy-appearance-hubble_no"]),
        ("candels", 11, 32, ["edge-on-bulge-candels_yes", "merging-candels_tidal-debris"]),
    ],
)
def test_every_campaign_has_a_whole_tree(
    campaign: str, questions: int, answers: int, columns: list[str]
) -> None:
    tree, table = Tree.read(campaign), read_campaign(campaign)
    assert (len(tree.questions), len(tree.names)) == (questions, answers)
    names = [name for cell in table["counts"] for name in cell.split()]
    assert len(set(names)) == len(names)
    assert set(columns) <= set(names)
    assert tree.violation(tree.shares(tree.consistent(np.ones(answers)))) < 1e-12


def test_the_challenge_numbers_its_answers_in_the_order_of_the_tree() -> None:
    shares = read_campaign("gz2")["share"].tolist()
    counts = [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6]
    expected = [f"Class{q + 1}.{a + 1}" for q, n in enumerate(counts) for a in range(n)]
    assert sorted(shares, key=lambda name: list(map(int, re.findall(r"\d+", name)))) == expected


@pytest.mark.parametrize("name", ["v.csv", "v.csv.gz", "v.parquet", "v.fits", "v.ecsv", "v.xml"])
def test_every_format_gives_the_same_votes(tmp_path: Path, name: str) -> None:
    ids = [587722981736120347, 587722981736120349, 5]
    images = _images(tmp_path / "images", [str(one) for one in ids])
    table = _table("gz2", ids, "dr7objid")
    stamps, rejected = _read(tmp_path, Source([images], _saved(table, tmp_path / name)))
    # Ids of 18 digits keep all of them; names are sorted as text.
    assert stamps.table["name"].tolist() == ["5", "587722981736120347", "587722981736120349"]
    assert (_votes(stamps) == table.iloc[[2, 0, 1], 1:].to_numpy()).all()
    assert len(rejected) == 0


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("named", [0, 1])
def test_published_columns_of_every_campaign(tmp_path: Path, campaign: str, named: int) -> None:
    ids = ["J073013.60+242930.0", "J081011.11+000000.1"]
    images = _images(tmp_path / "images", ids, ".png")
    table = _table(campaign, ids, "iauname", named=named)
    table["iauname"] = ids
    path = _saved(table.assign(other="x"), tmp_path / "v.parquet")
    stamps, rejected = _read(tmp_path, Source([images], path), campaign=campaign)
    assert stamps.table["name"].tolist() == ids
    assert (_votes(stamps) == table.iloc[:, 1:].to_numpy()).all()
    assert stamps.metadata["volunteers"] is None
    assert len(rejected) == 0


def test_the_names_of_the_tree_serve_as_columns_too(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["a"])
    tree = Tree.read("gz2")
    table = pd.DataFrame([_walk(tree, 30, 1)], columns=list(tree.names)).assign(id="a")
    stamps, _ = _read(tmp_path, Source([images], _saved(table, tmp_path / "v.csv")))
    assert _votes(stamps)[0].sum() == table.drop(columns="id").to_numpy().sum()


def test_shares_are_not_taken_for_counts(tmp_path: Path) -> None:
    """Tables of predicted votes have these columns: shares of one volunteer, if nobody looks."""
    images = _images(tmp_path / "images", ["a", "b"])
    tree = Tree.read("gz2")
    shares = np.array([_walk(tree, 30, k) / 30 for k in (1, 2)])
    table = pd.DataFrame(shares, columns=list(tree.names)).assign(name=["a", "b"])
    path = _saved(table, tmp_path / "v.csv")
    with pytest.raises(DataError, match="'smooth-or-featured_smooth' and those beside it hold sha"):
        _read(tmp_path, Source([images], path))


def test_shares_become_counts(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["1", "2"])
    table = _table("gz2", [1, 2], "GalaxyID", "share")
    path = _saved(table, tmp_path / "v.csv")
    stamps, _ = _read(tmp_path, Source([images], path), volunteers=50)
    assert _votes(stamps) == pytest.approx(table.iloc[:, 1:].to_numpy() * 50)
    assert stamps.metadata["volunteers"] == 50


@pytest.mark.realdata
def test_the_challenge_is_read_without_a_loss(tmp_path: Path, galadapt_data: Path) -> None:
    folder = galadapt_data / "galaxy_zoo" / "gz2_votes"
    table = pd.read_csv(folder / "votes.csv").sort_values("GalaxyID", key=lambda c: c.astype(str))
    source = Source([folder / "images"], folder / "votes.csv")
    stamps, rejected = _read(
        tmp_path, source, side=64, crop=208 / 424, tolerance=1e-5, limit=60, splits=VoteSplits()
    )
    assert len(rejected) == 0
    assert stamps.images().shape == (60, 64, 64, 3)
    tree = Tree.from_list(stamps.metadata["tree"])
    shares = _votes(stamps) / 44
    assert tree.violation(shares) < 1e-5
    rows = table.set_index(table["GalaxyID"].astype(str)).loc[stamps.table["name"]]
    assert shares == pytest.approx(rows[read_campaign("gz2")["share"].tolist()].to_numpy())
    # All 513 rows, without reading the images.
    every = table[read_campaign("gz2")["share"].tolist()].to_numpy()
    assert len(every) == 513
    assert tree.violation(every) < 1e-5
    # The sky of the real images, in three channels.
    assert np.median(stamps.images(), axis=(0, 1, 2)) == pytest.approx([10, 9.5, 6.6], abs=4)


def test_the_stage_reads_what_the_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOTES", str(tmp_path))
    images = _images(tmp_path / "images", ["a", "b"])
    _saved(_table("gz2", ["a", "b"], "id"), tmp_path / "v.csv")
    survey = VoteFiles.model_validate(
        {"images": {"path": "$VOTES/images"}, "votes": {"path": "$VOTES/v.csv"}, "side": SIDE}
    ).model_copy(update={"crop": 1.0})
    config = {"survey": survey.model_dump(), "seed": 1, "other": 2}
    job = survey_votes.settings(config, {}, [], [])
    assert set(job["external"]) == {"survey.images.path", "survey.votes.path"}
    outputs = {"stamps": [tmp_path / "s.h5"], "rejected": [tmp_path / "r.csv"]}
    survey_votes.run(job, {}, outputs)
    with StampSet(tmp_path / "s.h5") as stamps:
        assert stamps.table["name"].tolist() == ["a", "b"]
        assert stamps.metadata["provenance"]["settings"] == {"survey": config["survey"], "seed": 1}
        assert stamps.unit == "8-bit"
    (images / "a.jpg").unlink()
    assert survey_votes.settings(config, {}, [], [])["external"] != job["external"]


def test_the_stage_makes_mock_images_and_rejects_none(tmp_path: Path) -> None:
    survey = MockVotes(n_train=8, n_validation=4, n_test=4, side=24)
    job = survey_votes.settings({"survey": survey.model_dump(), "seed": 1}, {}, [], [])
    outputs = {"stamps": [tmp_path / "s.h5"], "rejected": [tmp_path / "r.csv"]}
    survey_votes.run(job, {}, outputs)
    with StampSet(tmp_path / "s.h5") as stamps:
        assert stamps.table["split"].tolist() == ["train"] * 8 + ["validation"] * 4 + ["test"] * 4
        assert stamps.metadata["domain"] == "survey"
    assert (tmp_path / "r.csv").read_text() == "id,name,reason\n"


# --- what is wrong with single galaxies -----------------------------------------------------


def _set(column: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def act(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype(object)
        table.loc[1, column] = value
        return table

    return act


_T = "t01_smooth_or_features_a01_smooth_count"
_BAR = "t03_bar_a06_bar_count"
_ROUND = "t07_rounded_a16_completely_round_count"

FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "text": (_set(_T, "many"), f"row 2 (b): {_T} is 'many', not a number; correct it"),
    "negative": (_set(_BAR, -1), f"row 2 (b): {_BAR} is -1, below 0; correct it"),
    "missing": (_set(_T, None), f"row 2 (b): {_T} has no value; fill it in, or leave all votes"),
    "infinite": (_set(_T, np.inf), f"row 2 (b): {_T} is 'inf', not a number; correct it"),
    "more than its parent": (
        _set(_ROUND, 900),
        "row 2 (b): the answers of 'how-rounded' add up to ",
    ),
    "twice": (
        lambda table: pd.concat([table, table.iloc[[1]]]),
        "'b' stands in rows 2 and 4; keep one of them",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_rejects_its_galaxy_alone(tmp_path: Path, case: str) -> None:
    act, reason = FAULTS[case]
    images = _images(tmp_path / "images", ["a", "b", "c"])
    path = _saved(act(_table("gz2", ["a", "b", "c"], "id")), tmp_path / "v.csv")
    stamps, rejected = _read(tmp_path, Source([images], path))
    assert stamps.table["name"].tolist() == ["a", "c"]
    assert stamps.table["id"].tolist() == [0, 2]
    assert rejected[["id", "name"]].to_numpy().tolist() == [["1", "b"]]
    assert f"{path}: {reason}" in rejected["reason"][0]


def test_shares_must_add_up_and_counts_need_not(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["a", "b", "c"])
    shares = _table("gz2", ["a", "b", "c"], "GalaxyID", "share")
    shares.loc[1, ["Class1.1", "Class1.2", "Class1.3"]] = [0.3, 0.3, 0.3]
    path = _saved(shares, tmp_path / "v.csv")
    _, rejected = _read(tmp_path, Source([images], path))
    assert rejected["reason"].tolist() == [
        f"{path}: row 2 (b): the answers of 'smooth-or-featured' add up to 0.9, but 1 of the "
        "volunteers reached it; correct them or raise tolerance"
    ]
    _, rejected = _read(tmp_path, Source([images], path), tolerance=1.0)
    assert len(rejected) == 0
    counts = _table("gz2", ["a", "b", "c"], "id")
    fewer = counts.copy()
    fewer.loc[1, [name for name in fewer if name.startswith("t06")]] = 0
    fewer.loc[1, [name for name in fewer if name.startswith("t08")]] = 0
    stamps, rejected = _read(tmp_path, Source([images], _saved(fewer, tmp_path / "w.csv")))
    assert len(rejected) == 0
    assert (_votes(stamps) == fewer.iloc[:, 1:].to_numpy()).all()


def test_images_without_votes_stay_and_rows_without_images_do_not(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["a", "b", "c", "d", "lonely"])
    table = _table("gz2", ["a", "b", "c", "d", "gone"], "id").astype(object)
    table.iloc[1, 1:] = None
    table.iloc[2, 1:] = 0
    path = _saved(table, tmp_path / "v.csv")
    stamps, rejected = _read(tmp_path, Source([images], path))
    assert stamps.table["name"].tolist() == ["a", "b", "c", "d", "lonely"]
    known = np.isfinite(_votes(stamps))
    assert known.all(axis=1).tolist() == [True, False, False, True, False]
    assert (known.all(axis=1) == known.any(axis=1)).all()
    assert rejected["reason"].tolist() == [f"{path}: no image 'gone' in {images}; add it"]
    stamps, _ = _read(tmp_path, Source([images], path), unlabelled=0)
    assert stamps.table["name"].tolist() == ["a", "d"]


def test_a_question_nobody_was_asked_may_be_empty(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["a"])
    table = _table("gz2", ["a"], "id").astype(object)
    for start in ("t06", "t08"):
        table.loc[0, [name for name in table if name.startswith(start)]] = 0
    table.loc[0, [name for name in table if name.startswith("t08")]] = None
    stamps, rejected = _read(tmp_path, Source([images], _saved(table, tmp_path / "v.csv")))
    assert len(rejected) == 0
    assert np.isfinite(_votes(stamps)).all()


def test_bad_images_do_not_stop_the_others(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["a", "b", "c"])
    (images / "b.jpg").write_bytes((images / "b.jpg").read_bytes()[:300])
    Image.fromarray(np.zeros((SIDE, 40, 3), np.uint8)).save(images / "wide.png")
    _images(images / "more", ["c"], ".png")
    (images / "._a.jpg").write_bytes(b"Mac OS X")
    (images / "notes.txt").write_text("none of ours")
    path = _saved(_table("gz2", ["a", "b", "c", "wide"], "id"), tmp_path / "v.csv")
    stamps, rejected = _read(tmp_path, Source([images], path))
    assert stamps.table["name"].tolist() == ["a"]
    reasons = dict(zip(rejected["name"], rejected["reason"], strict=True))
    assert set(reasons) == {"b", "c", "wide"}
    assert reasons["b"].startswith(f"{images}/b.jpg: not a whole JPEG or PNG (")
    assert "40 x 24 px is not square" in reasons["wide"]
    assert "has the same name; keep one of them" in reasons["c"]


def test_a_table_connects_ids_and_names(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["11", "12", "13", "14"])
    votes = _saved(_table("gz2", [101, 102, 103, 104], "dr7objid"), tmp_path / "v.csv")
    names = tmp_path / "names.csv"
    pd.DataFrame({"objid": [101, 102, 102, 104], "asset_id": [11, 12, 13, 99]}).to_csv(
        names, index=False
    )
    source = Source([images], votes, (names, VoteNames(path=str(names))))
    stamps, rejected = _read(tmp_path, source)
    known = np.isfinite(_votes(stamps)).all(axis=1)
    assert stamps.table["name"][known].tolist() == ["11"]
    assert dict(zip(rejected["name"], rejected["reason"], strict=True)) == {
        "102": f"{names}: '102' has the images '12' and '13'; give it one",
        "103": f"{names}: '103' has no image; give it one",
        "99": f"{votes}: no image '99' in {images}; add it",
    }
    pd.DataFrame({"objid": [101, 102, 103], "asset_id": [11, 12, 12]}).to_csv(names, index=False)
    stamps, rejected = _read(tmp_path, source)
    reasons = dict(zip(rejected["name"], rejected["reason"], strict=True))
    assert reasons["12"] == f"{names}: '102' and '103' have the same image '12'; keep one"
    assert "12" not in stamps.table["name"].tolist()
    with pytest.raises(DataError, match=r"lacks the column 'picture'; name another one as names\."):
        _read(tmp_path, Source([images], votes, (names, VoteNames(path="", image="picture"))))


# --- what is wrong with all of them ---------------------------------------------------------


def test_what_stops_everything_names_the_remedy(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["a", "b"])
    table = _table("gz2", ["a", "b"], "id")

    def fails(message: str, change: pd.DataFrame, **settings: Any) -> None:
        path = _saved(change, tmp_path / "v.csv")
        with pytest.raises(DataError, match=message) as caught:
            _read(tmp_path, Source([images], path), **settings)
        assert str(caught.value).startswith(f"{path}: ")

    fails("no column of ids is called galaxyid, dr7objid", table.rename(columns={"id": "which"}))
    fails("no column of ids is called key; give its name as id", table, id="key")
    fails(f"lacks the column '{_T}' of campaign gz2; correct campaign", table.drop(columns=_T))
    fails("lacks the column 'smooth-or-featured_smooth' and 33 more", table, campaign="decals")
    other = table.assign(id=["587", "588"])
    fails("no usable votes for any of 2 images; it names '587', the images are like 'a'", other)
    rounded = _table("gz2", [5.877e17, np.nan], "dr7objid")
    path = _saved(rounded, tmp_path / "v.fits")
    with pytest.raises(DataError, match="'dr7objid' holds rounded numbers, not ids; write them"):
        _read(tmp_path, Source([images], path))
    with pytest.raises(DataError, match="no such folder of images; correct the path"):
        _read(tmp_path, Source([tmp_path / "nowhere"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no JPEG, PNG or FITS image; give their folder"):
        _read(tmp_path, Source([tmp_path / "empty"]))
    (images / "a.jpg").write_bytes(b"")
    (images / "b.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 2 images can be used; the first: .*a\.jpg"):
        _read(tmp_path, Source([images]))
    assert len(pd.read_csv(tmp_path / "rejected.csv")) == 2


def test_a_row_without_an_id_is_named_by_its_number(tmp_path: Path) -> None:
    images = _images(tmp_path / "images", ["a"])
    table = _table("gz2", ["a", None], "id")
    with gzip.open(tmp_path / "v.csv.gz", "wt") as file:
        table.to_csv(file, index=False)
    _, rejected = _read(tmp_path, Source([images], tmp_path / "v.csv.gz"))
    assert rejected["reason"].tolist() == [f"{tmp_path}/v.csv.gz: row 2 has no id"]


# --- choice and splits ----------------------------------------------------------------------


def test_equal_settings_give_equal_bytes_whatever_the_order(tmp_path: Path) -> None:
    names = [f"g{k}" for k in range(12)]
    images = _images(tmp_path / "images", names)
    table = _table("gz2", names, "id")
    made = []
    for processes, rows in ((1, table), (2, table.iloc[::-1])):
        path = _saved(rows, tmp_path / "v.csv")
        stamps, _ = _read(tmp_path, Source([images], path), processes=processes, limit=8)
        stamps.close()
        made.append((tmp_path / "out.h5").read_bytes())
    assert made[0] == made[1]


def test_limits_choose_by_name_and_seed(tmp_path: Path) -> None:
    names = [f"g{k}" for k in range(12)]
    images = _images(tmp_path / "images", names)
    path = _saved(_table("gz2", names[:8], "id"), tmp_path / "v.csv")
    options = {"limit": 5, "unlabelled": 2}
    stamps, rejected = _read(tmp_path, Source([images], path), **options)
    assert len(rejected) == 0
    assert np.isfinite(_votes(stamps)).all(axis=1).sum() == 5
    chosen = stamps.table["name"].tolist()
    assert len(chosen) == 7
    again, _ = _read(tmp_path, Source([images], path), seed=2, **options)
    assert again.table["name"].tolist() != chosen


def test_shares_and_folds() -> None:
    names = [f"g{k}" for k in range(100)]
    known = np.arange(100) < 60
    dealt = np.array(split(names, known, VoteSplits(train=0.5, validation=0.2), 1))
    for group, counts in ((known, [30, 12, 18]), (~known, [20, 8, 12])):
        found = [(dealt[group] == one).sum() for one in ("train", "validation", "test")]
        assert found == counts
    backwards = split(names[::-1], known[::-1], VoteSplits(train=0.5, validation=0.2), 1)
    assert backwards[::-1] == dealt.tolist()
    tested = [
        np.array(split(names, known, VoteSplits(folds=5, fold=fold), 1)) == "test"
        for fold in range(5)
    ]
    assert (np.sum(tested, axis=0) == 1).all()
    first = np.array(split(names, known, VoteSplits(folds=5), 1))
    assert [(first[known] == one).sum() for one in ("train", "validation")] == [42, 6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"splits": {"fold": 5, "folds": 5}}, "must be below folds, 5"),
        ({"splits": {"fold": 1}}, "must be below folds, 1"),
        ({"splits": {"train": 0.0}}, "train: must be above 0"),
        ({"campaign": "gz3"}, "campaign"),
        ({"votes": None, "names": {"path": "n.csv"}}, "names: belongs to votes"),
        ({"votes": None, "unlabelled": 0}, "leaves no image without votes"),
        ({"crop": 0}, "crop"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    given = {"images": {"path": "images"}, "votes": {"path": "v.csv"}, **settings}
    with pytest.raises(ValidationError, match=message):
        VoteFiles.model_validate(given)
