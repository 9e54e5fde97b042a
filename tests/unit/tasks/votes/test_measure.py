"""Images in, a table of votes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from PIL import Image

from galadapt.answers.votes.tree import Tree
from galadapt.cli import main
from galadapt.config.training import Compute
from galadapt.config.votes import VoteMethod
from galadapt.core.files import write_csv
from galadapt.learners.job import Job
from galadapt.learners.train import train
from galadapt.stamps.format import write_stamps
from galadapt.tasks.votes import measure
from galadapt.tasks.votes.images import read_image

TREE = Tree.read("gz2")
SIDE = 32


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two seeds that predict the mean vote, and their temperatures."""
    folder = tmp_path_factory.mktemp("runs") / "mean"
    random = np.random.default_rng(3)
    votes = np.zeros((20, len(TREE.names)))
    for part, parent in zip(TREE.parts, TREE.parents, strict=True):
        asked = np.full(20, 40) if parent is None else votes[:, parent].astype(int)
        shares = random.dirichlet(np.ones(part.stop - part.start))
        votes[:, part] = [random.multinomial(n, shares) for n in asked]
    table = pd.DataFrame({"id": range(20), "split": ["train"] * 15 + ["validation"] * 5})
    columns = {f"votes_{name}": votes[:, k] for k, name in enumerate(TREE.names)}
    metadata = {"pixel_scale": None, "zero_point": None, "band": "rgb", "domain": "simulated"}
    metadata |= {"channels": ["red", "green", "blue"], "tree": TREE.to_list()}
    metadata["variant_steps"] = [{"step": "rebin", "factor": 2}, {"step": "divide", "by": 255.0}]
    stamps = folder.parent / "stamps.h5"
    images = random.uniform(0, 1, (20, SIDE // 2, SIDE // 2, 3))
    write_stamps(stamps, [images], table.assign(**columns), metadata, unit="")
    settings = {"learner": {"kind": "sklearn", "estimator": "mean"}, "head": "independent"}
    for seed in (1, 2):
        output = folder / f"seed{seed}"
        train(
            Job(
                task="votes",
                variant="colour",
                method_name="mean",
                seed=seed,
                method=VoteMethod.model_validate(settings),
                quantities=(),
                given={"simulated": stamps},
                start=None,
                teachers=(),
                output=output,
                checkpoint=folder.parent / "checkpoint",
                compute=Compute(),
                provenance={},
            )
        )
        factors = {"question": [one.name for one in TREE.questions]}
        factors |= {"simulated": np.full(11, 9.0), "survey": np.full(11, 2e-3)}
        write_csv(output / "temperatures.csv", pd.DataFrame(factors))
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (100, 100, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"galaxy{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def run(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def test_images_in_a_table_out(method: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "votes.csv"
    assert run("--model", method, "--images", images, "-o", output) == 0
    table = pd.read_csv(output)
    assert table["name"].tolist() == ["broken.jpg", "galaxy0.jpg", "galaxy1.jpg", "galaxy2.jpg"]
    assert table["reason"].fillna("").tolist()[1:] == [""] * 3
    assert table["reason"][0].startswith("not a whole JPEG or PNG")
    assert table.loc[0, list(TREE.names)].isna().all()
    shares = table.loc[1:, list(TREE.names)].to_numpy()
    assert TREE.violation(shares) < 1e-9 and shares.max() > 0.1
    # A concentration of 20 (1e4, scaled by the survey's temperature).
    p = shares[:, 0]
    np.testing.assert_allclose(table["smooth-or-featured_smooth_err"][1:] ** 2, p * (1 - p) / 21)
    notes = json.loads((tmp_path / "votes.csv.json").read_text())
    assert notes["GA_MODEL"] == "mean/seed1, mean/seed2" and notes["GA_ERROR"] == "model"

    # One run, errors with volunteers, another format.
    other = tmp_path / "votes.fits"
    arguments = ("--images", images / "galaxy1.jpg", "--volunteers", 40)
    assert run("--model", method / "seed1", *arguments, "-o", other) == 0
    read = Table.read(other)
    found, p = read["smooth-or-featured_smooth_err"][0], read["smooth-or-featured_smooth"][0]
    assert found**2 == pytest.approx(p * (1 - p) * (1 / 21 + 20 / 21 / 40))


@pytest.mark.parametrize("value", ["abc", "", "-1", None])
def test_broken_temperatures_are_one_sentence(
    method: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    value: str | None,
) -> None:
    copy = tmp_path / "seed1"
    shutil.copytree(method / "seed1", copy)
    table = pd.read_csv(copy / "temperatures.csv").astype({"survey": object})
    table.loc[1, "survey"] = value
    write_csv(copy / "temperatures.csv", table.drop(columns="survey") if value is None else table)
    assert run("--model", copy, "--images", images, "-o", tmp_path / "votes.csv") != 0
    assert "lacks a number above 0 in the column 'survey'" in capsys.readouterr().err


def test_what_is_not_predicted_has_a_reason(
    method: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, stamps: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(stamps))[:, None] == 1, np.nan, np.ones(len(TREE.names)))

    monkeypatch.setattr(measure.Model, "predict", broken)
    output = tmp_path / "votes.csv"
    assert run("--model", method, "--images", images, "-o", output) == 0
    table = pd.read_csv(output, keep_default_na=False)
    assert table["reason"].tolist()[1:] == ["", "no finite prediction", ""]


def test_images_are_cut_as_in_training(
    method: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained on whole images of a survey, applied to whole images."""
    run_folder = tmp_path / "seed1"
    shutil.copytree(method / "seed1", run_folder)
    record = json.loads((run_folder / "run.json").read_text())
    record["stamps"]["crop"] = 1.0
    (run_folder / "run.json").write_text(json.dumps(record))
    widths = []

    def reading(path: Path, side: int, crop: float) -> np.ndarray:
        widths.append(crop)
        return read_image(path, side, crop)

    monkeypatch.setattr(measure, "read_image", reading)
    output = tmp_path / "votes.csv"
    arguments = ("--images", images / "galaxy1.jpg", "-o", output)
    assert run("--model", run_folder, *arguments) == 0
    assert json.loads((tmp_path / "votes.csv.json").read_text())["GA_CROP"] == "1"
    assert run("--model", method, *arguments) == 0
    assert run("--model", run_folder, *arguments, "--crop", 0.7) == 0
    assert widths == [1.0, measure.CROP, 0.7]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--images", "nowhere.jpg"), "nowhere.jpg: no such image"),
        ((), "--images: no image was named"),
        (("--images", "IMAGES", "--psf", "psf.fits"), "--psf: has no meaning for votes"),
        (("--images", "IMAGES", "--members", 2), "--members: has no meaning for votes"),
        (("--images", "IMAGES", "--crop", 1.5), "--crop: 1.5 is not above 0"),
        (("--images", "IMAGES", "--volunteers", 0), "--volunteers: 0 is below 1"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    method: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    sentence: str,
) -> None:
    given = [images if one == "IMAGES" else one for one in arguments]
    assert run("--model", method, *given, "-o", tmp_path / "votes.csv") != 0
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "votes.csv").exists()


def test_runs_of_different_methods_are_not_averaged(
    method: Path, images: Path, tmp_path: Path
) -> None:
    from galadapt.core.errors import DataError
    from galadapt.tasks.votes.measure import measure_votes

    other = tmp_path / "other" / "run.json"
    other.parent.mkdir()
    for path in (method / "seed2").iterdir():
        (other.parent / path.name).symlink_to(path)
    content = json.loads((method / "seed2/run.json").read_text())
    other.unlink()
    other.write_text(json.dumps(content | {"variant_steps": []}))
    with pytest.raises(DataError, match=r"differs from .* in 'variant_steps'"):
        measure_votes([method / "seed1/run.json", other], [images], tmp_path / "votes.csv")
