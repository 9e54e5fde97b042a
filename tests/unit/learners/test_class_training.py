"""Networks that classify or draw, trained by the same trainer on patterns of known class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trainings import job_in, predict_into

from galadapt.config.classes import ClassMethod
from galadapt.config.training import Compute
from galadapt.core.errors import DataError
from galadapt.learners.keras import backend
from galadapt.learners.train import train
from galadapt.stamps.format import StampSet, write_stamps

backend.prepare(Compute())

from galadapt.answers.registry import of_method  # noqa: E402
from galadapt.learners.data import read_split  # noqa: E402
from galadapt.learners.keras.batches import Batches  # noqa: E402

SIDE = 16
CLASSES = ("empty", "line", "block")
#: Flagged pixels of each pattern, over the stamp's.
SHARES = (0.0, SIDE / SIDE**2, 64 / SIDE**2)


def write_patterns(path: Path, domain: str, *, masks: bool = True, label: bool = True) -> Path:
    """Noise, noise with a bright row, noise with a bright block; what is bright is flagged."""
    rng = np.random.default_rng(3)
    splits = np.repeat(["train", "validation", "test"], [192, 24, 24])
    count = len(splits)
    kind = np.arange(count) % 3
    images = rng.normal(size=(count, SIDE, SIDE)).astype(np.float32)
    flagged = np.zeros(images.shape, bool)
    for row, number in enumerate(kind):
        y, x = rng.integers(0, SIDE - 8, 2)
        if number == 1:
            flagged[row, y + 4] = True
        if number == 2:
            flagged[row, y : y + 8, x : x + 8] = True
    images[flagged] += 8
    table = pd.DataFrame(
        {
            "id": np.arange(count),
            "split": splits,
            "split_by_stamp": np.roll(splits, 96),
            "label": np.array(CLASSES, object)[kind] if label else "",
            "group": [f"frame{row // 6}" for row in range(count)],
        }
    )
    metadata = {
        **{"pixel_scale": 1.0, "zero_point": None, "band": "", "domain": domain},
        "classes": list(CLASSES),
        "mask_borders": [0.0, 0.01, 0.15],
    }
    write_stamps(path, [(images, flagged) if masks else images], table, metadata, masks=masks)
    return path


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patterns(tmp_path_factory.mktemp("patterns") / "simulated.h5", "simulated")


def run(
    folder: Path, stamps: Path, method: dict[str, Any], survey: Path | None = None, **changes: Any
) -> pd.DataFrame:
    """Train and test; return the predictions."""
    settings = {"learning_rate": 3e-3, "batch_size": 16, "epochs": 12, "patience": 12} | method
    names = {"task": "screening", "variant": "plain", "method_name": "one", "quantities": ()}
    given = {"simulated": stamps} | ({} if survey is None else {"survey": survey})
    train(job_in(folder, ClassMethod(**settings), given, output=folder, **names, **changes))
    predict_into(folder, given)
    return pd.read_parquet(folder / "predictions.parquet")


def accuracy(table: pd.DataFrame) -> float:
    test = table[table["split"] == "test"]
    columns = [name for name in table if name.startswith("p_")]
    said = test[columns].to_numpy().argmax(axis=1)
    return float((np.array([name[2:] for name in columns])[said] == test["label_true"]).mean())


DRAW = {"network": {"architecture": "unet"}, "answer": "mask", "epochs": 20, "patience": 20}


@pytest.fixture(scope="module")
def drawn(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a network that learned to draw what is flagged."""
    folder = tmp_path_factory.mktemp("drawn")
    run(folder, patterns, DRAW)
    return folder


def assert_learned(folder: Path) -> None:
    table = pd.read_parquet(folder / "predictions.parquet")
    assert accuracy(table) > 0.9
    assert table.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1)
    assert set(table["label_original"]) == set(CLASSES)
    assert pd.read_parquet(folder / "embeddings.parquet").filter(regex=r"^f\d").shape[1] > 0


@pytest.mark.parametrize("answer", ["nominal", "ordinal"])
def test_a_network_learns_patterns(patterns: Path, tmp_path: Path, answer: str) -> None:
    run(tmp_path, patterns, {"network": {"architecture": "compact"}, "answer": answer})
    assert_learned(tmp_path)


def test_a_network_learns_to_draw_patterns(drawn: Path) -> None:
    assert_learned(drawn)


def test_the_share_drawn_is_the_share_flagged(drawn: Path) -> None:
    table = pd.read_parquet(drawn / "predictions.parquet")
    for name, share in zip(CLASSES, SHARES, strict=True):
        test = table.loc[(table["split"] == "test") & (table["label_true"] == name)]
        assert test["flagged_share"].median() == pytest.approx(share, abs=0.02)


def test_a_classifier_learns_on_from_a_network_that_draws(
    patterns: Path, drawn: Path, tmp_path: Path
) -> None:
    method = {"network": {"architecture": "unet"}, "starts_from": "draw", "epochs": 8}
    table = run(tmp_path, patterns, method, start=drawn / "run.json")
    assert accuracy(table) > 0.9
    assert "flagged_share" not in table


def test_groups_leave_out_what_they_do_not_name(patterns: Path, tmp_path: Path) -> None:
    groups = {"clean": ["empty"], "spoilt": ["block"]}
    table = run(tmp_path, patterns, {"network": {"architecture": "moments"}, "groups": groups})
    assert list(table.filter(like="p_")) == ["p_clean", "p_spoilt"]
    assert set(table.loc[table["label_original"] == "line", "label_true"]) == {""}
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["answer"]["classes"]["labels"] == [["empty"], ["block"]]
    assert "scaling" not in record["answer"]


def test_a_leaking_split_tests_other_stamps(patterns: Path, tmp_path: Path) -> None:
    method = {"network": {"architecture": "moments"}, "epochs": 1}
    table = run(tmp_path, patterns, {**method, "split": "stamp"})
    with StampSet(patterns) as stamps:
        wanted = stamps.table.loc[stamps.table["split_by_stamp"] == "test", "id"]
    assert set(table.loc[table["split"] == "test", "id"]) == set(wanted)


def test_a_survey_without_labels_is_predicted_and_not_learned(
    patterns: Path, tmp_path: Path
) -> None:
    survey = write_patterns(tmp_path / "survey.h5", "survey", masks=False, label=False)
    method = {
        "network": {"architecture": "residual"},
        "domains": ["simulated", "survey"],
        "alignment": {"kind": "coral"},
        "epochs": 2,
    }
    table = run(tmp_path / "run", patterns, method, survey=survey)
    assert set(table.loc[table["domain"] == "survey", "label_true"]) == {""}
    assert table.filter(like="p_").notna().all(axis=None)


def batches_of(stamps: Path, **method: Any) -> Batches:
    settings = ClassMethod(**{"network": {"architecture": "xmm"}, "batch_size": 16} | method)
    with StampSet(stamps) as opened:
        answer = of_method(settings, (), opened)
        training = read_split({"simulated": opened}, "train", answer, settings)
    return Batches(training, answer.fitted(training["simulated"].labels, None), settings, 1)


def test_copies_are_shown_more_often_and_turned(patterns: Path) -> None:
    batches = batches_of(patterns, copies={"block": 3})
    assert len(batches) == (128 + 3 * 64) // 16
    shown: dict[bytes, int] = {}
    for images, targets, _ in batches:
        for image, target in zip(images, targets, strict=True):
            turned = {np.rot90(image[..., 0], k).tobytes() for k in range(4)}
            turned |= {np.rot90(image[::-1, :, 0], k).tobytes() for k in range(4)}
            key = min(turned) + target.tobytes()
            shown[key] = shown.get(key, 0) + 1
    assert sorted(shown.values()) == [1] * 128 + [3] * 64


def test_balanced_classes_weigh_the_same(patterns: Path) -> None:
    batches = batches_of(
        patterns, class_weights="balanced", groups={"clean": ["empty"], "not": ["line", "block"]}
    )
    weights: dict[float, float] = {}
    for _, targets, given in batches:
        for target, weight in zip(targets[:, 0], given, strict=True):
            weights[float(target)] = weights.get(float(target), 0.0) + float(weight)
    assert weights[0.0] == pytest.approx(weights[1.0])


def test_masks_turn_with_their_stamps(patterns: Path) -> None:
    network = {"architecture": "unet"}
    batches = batches_of(patterns, network=network, answer="mask", augment="all")
    for images, masks, _ in batches:
        inside = images[masks > 0.5]
        outside = images[masks < 0.5]
        assert inside.mean() > outside.mean() + 7


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ({"answer": "mask", "network": {"architecture": "unet"}}, {"masks": False}, "no masks"),
        ({"groups": {"a": ["empty"], "b": ["star"]}}, {}, r"simulated.h5: groups.b: .* 'star'"),
        ({"network": {"architecture": "moments"}}, {"label": False}, "with all its labels"),
    ],
)
def test_stamps_that_cannot_teach(
    tmp_path: Path, method: dict[str, Any], changes: dict[str, bool], message: str
) -> None:
    stamps = write_patterns(tmp_path / "simulated.h5", "simulated", **changes)
    with pytest.raises(DataError, match=message):
        run(tmp_path / "run", stamps, method)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_start_that_tells_other_classes_apart(patterns: Path, tmp_path: Path) -> None:
    network = {"network": {"architecture": "moments"}, "epochs": 1}
    run(tmp_path / "first", patterns, network)
    groups = {"clean": ["empty"], "line": ["line"], "block": ["block"]}
    with pytest.raises(DataError, match=r"has classes empty, line, block, not clean"):
        run(
            tmp_path / "second",
            patterns,
            {**network, "groups": groups, "starts_from": "one"},
            start=tmp_path / "first" / "run.json",
        )
