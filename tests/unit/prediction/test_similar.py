"""Search for similar stamps: exact, in blocks, and kept between searches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.cli import main
from galadapt.config.base import Distance
from galadapt.core.distances import METRICS
from galadapt.core.errors import ConfigError
from galadapt.prediction import similar
from galadapt.prediction.similar import Encoder, Index, opened_index
from galadapt.stamps.format import StampSet, write_stamps
from galadapt.stamps.preprocess import Rebin

SIDE = 16


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blobs of growing size; a stamp is most like those before and after it."""
    path = tmp_path_factory.mktemp("stamps") / "blobs.h5"
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    sizes = np.linspace(1, 4, 60)
    images = np.exp(-(x**2 + y**2) / (2 * sizes[:, None, None] ** 2))
    table = pd.DataFrame({"id": np.arange(60) + 500, "split": "test"})
    table["label"] = np.where(sizes < 2, "small", "large")
    metadata = {"pixel_scale": 0.1, "zero_point": None, "band": "", "domain": "simulated"}
    write_stamps(path, [images.astype(np.float32)], table, metadata)
    return path


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


ENCODER = Encoder("flat", "d", SIDE, (Rebin(step="rebin", factor=2),), flat)


@pytest.fixture
def opened(stamps: Path):
    with StampSet(stamps) as one:
        yield one


@pytest.fixture
def index(opened: StampSet, tmp_path: Path) -> Index:
    return opened_index(tmp_path / "index", ENCODER, opened)


@pytest.mark.parametrize("distance", METRICS)
def test_the_nearest_are_those_of_all_distances(
    index: Index, opened: StampSet, distance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = ENCODER.features(opened, np.arange(60))
    scaled = index.standardised(features)
    values = np.sign(scaled) * np.sqrt(np.abs(scaled)) if distance == "signed_root" else scaled
    query = values[31]
    by_hand = {
        "euclidean": np.sqrt(((values - query) ** 2).sum(axis=1)),
        "manhattan": np.abs(values - query).sum(axis=1),
        "chebyshev": np.abs(values - query).max(axis=1),
        "cosine": 1 - values @ query / np.linalg.norm(values, axis=1) / np.linalg.norm(query),
    }
    by_hand["signed_root"] = by_hand["euclidean"]
    order = np.argsort(by_hand[distance], kind="stable")[:9]
    rows, distances = index.nearest(features[31], 9, distance)
    np.testing.assert_allclose(distances, by_hand[distance][order], atol=1e-3)
    assert set(rows) == set(order)
    # Blocks of any size give the same.
    monkeypatch.setattr(similar, "_BLOCK", 7)
    again = index.nearest(features[31], 9, distance)
    np.testing.assert_array_equal(again[0], rows)


def test_equally_near_stamps_come_in_order(tmp_path: Path, stamps: Path) -> None:
    with StampSet([stamps, stamps]) as twice:
        index = opened_index(tmp_path / "i", ENCODER, twice)
        features = ENCODER.features(twice, np.array([5]))[0]
        rows, _ = index.nearest(features, 4)
    assert rows[:2].tolist() == [5, 65]
    assert sorted(rows[2:]) == rows[2:].tolist()


def test_features_are_computed_once_and_again_for_another_model(
    opened: StampSet, tmp_path: Path
) -> None:
    calls = []

    def counted(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return flat(images)

    def search(digest: str) -> None:
        encoder = Encoder("flat", digest, SIDE, (), counted)
        assert len(opened_index(tmp_path / "index", encoder, opened)) == 60

    search("a")
    search("a")
    assert calls == [60]
    search("b")
    assert calls == [60, 60]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other: exists and is no index"):
        opened_index(tmp_path / "other", ENCODER, opened)
    assert (tmp_path / "other" / "notes.txt").exists()


def test_a_stamp_before_and_after_the_variant_is_the_same(stamps: Path, tmp_path: Path) -> None:
    from galadapt.stamps.preprocess import make_variant

    make_variant([stamps], list(ENCODER.steps), tmp_path / "v.h5", {})
    with StampSet(stamps) as before, StampSet(tmp_path / "v.h5") as after:
        rows = np.arange(3)
        np.testing.assert_allclose(
            ENCODER.features(before, rows), ENCODER.features(after, rows), rtol=1e-6
        )


def run(*arguments: object) -> int:
    return main(["similar", *map(str, arguments)])


def test_the_command_finds_and_draws(
    stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(similar, "read_encoder", lambda folder, compute: ENCODER)
    table, sheet = tmp_path / "found.csv", tmp_path / "found.png"
    common = ("--model", tmp_path, "--stamps", stamps, "-o", table)
    assert run(*common, "--id", 530, "-k", 4, "--sheet", sheet) == 0
    found = pd.read_csv(table)
    assert set(found["id"]) == {528, 529, 531, 532}
    assert found["rank"].tolist() == [1, 2, 3, 4]
    assert (np.diff(found["distance"]) >= 0).all()
    assert set(found["label"]) <= {"small", "large"}
    assert sheet.read_bytes().startswith(b"\x89PNG")

    with StampSet(stamps) as one:
        frame = np.pad(one.images([12])[0], 3)
    fits.writeto(tmp_path / "cutout.fits", frame)
    assert run(*common, "--image", tmp_path / "cutout.fits", "-k", 1) == 0
    assert pd.read_csv(table)["id"].tolist() == [512]
    assert run(*common, "--query", f"{stamps}:540", "-k", 1) == 0
    # A stamp of another set is not left out.
    assert pd.read_csv(table)["id"].tolist() == [540]

    table.unlink()
    for arguments, message in (
        (("--id", 3), "blobs.h5: holds no stamp of id 3"),
        (("--id", 530, "-k", 60), "-k: 60 of 59 stamps; give 1 to 59"),
        (("--query", "set.h5"), "'set.h5' is not SET:ID"),
        (("--image", tmp_path / "none.fits"), "none.fits: no such image"),
        (("--id", 530, "--sheet", "a.jpg"), "a.jpg: give a name that ends in .png"),
    ):
        assert run(*common, *arguments) != 0
        assert message in capsys.readouterr().err
    assert not table.exists()


def test_distances_are_those_of_the_configuration() -> None:
    assert get_args(Distance) == tuple(METRICS)


def test_a_folder_without_a_model_is_refused(
    stamps: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "run.txt").write_text(json.dumps({}))
    code = run("--model", tmp_path, "--stamps", stamps, "--id", 500, "-o", tmp_path / "a.csv")
    assert code != 0
    assert "neither a prediction package (package.json) nor a run" in capsys.readouterr().err
