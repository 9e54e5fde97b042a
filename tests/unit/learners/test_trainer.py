"""The trainer: what it writes, what it may see, how it continues, how it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from blob_stamps import SIDE, train_baseline, write_domain
from trainings import assert_same_run, network, predict_into, weights

from galadapt.config.training import Compute, Method, Network
from galadapt.core.errors import ConfigError, DataError, RunError
from galadapt.core.provenance import file_digest
from galadapt.core.quantity import PARAMETERS, SERSIC
from galadapt.learners.keras import backend
from galadapt.learners.train import train
from galadapt.stamps.format import StampSet, write_stamps

backend.prepare(Compute())

import keras  # noqa: E402

from galadapt.answers.numbers.answer import Numbers  # noqa: E402
from galadapt.answers.numbers.scaler import TargetScaler  # noqa: E402
from galadapt.learners.data import Examples  # noqa: E402
from galadapt.learners.job import Job  # noqa: E402
from galadapt.learners.keras import adaptation, trainer  # noqa: E402
from galadapt.learners.keras.batches import Batches  # noqa: E402
from galadapt.learners.keras.epochs import Checkpoint  # noqa: E402
from galadapt.learners.keras.epochs import Progress as CheckpointProgress  # noqa: E402
from galadapt.learners.keras.networks import build, feature_extractor  # noqa: E402
from galadapt.learners.orientations import oriented  # noqa: E402

MakeJob = Callable[..., Job]

BOTH = {"domains": ["simulated", "survey"]}
SEMI = {**BOTH, "alignment": {"kind": "dann", "weight": 0.1}, "loss": "mse"}
MATCHED = {**SEMI, "alignment": {"kind": "dann", "match_labels": True}}
SUPERVISED = {**SEMI, "survey_labels": True}


@pytest.fixture(scope="module")
def trained(domains: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished and tested baseline, for every test that starts from one."""
    run = train_baseline(tmp_path_factory.mktemp("trained"), domains["simulated"], 1, epochs=2)
    predict_into(run, domains)
    return run


@pytest.fixture
def start(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(trained, tmp_path / "start")
    return tmp_path / "start" / "run.json"


# --- what it writes --------------------------------------------------------------------------


def test_run_folder(trained: Path, domains: dict[str, Path]) -> None:
    run = trained
    assert sorted(path.name for path in run.iterdir()) == [
        *("embeddings.parquet", "environment.json", "history.csv", "model"),
        *("predictions.json", "predictions.parquet", "run.json"),
    ]
    assert not (run.parent / "checkpoint").exists()

    predictions = pd.read_parquet(run / "predictions.parquet")
    expected = [f"{name}_{kind}" for name in PARAMETERS for kind in ("true", "predicted")]
    assert list(predictions.columns) == ["id", "domain", "split", *expected]
    counts = predictions.groupby(["domain", "split"]).size().to_dict()
    assert counts == {
        ("simulated", "test"): 16,
        ("simulated", "validation"): 16,
        ("survey", "test"): 10,
        ("survey", "validation"): 10,
    }
    embeddings = pd.read_parquet(run / "embeddings.parquet")
    assert list(embeddings.columns[:4]) == ["id", "domain", "split", "f000"]
    assert embeddings["f000"].dtype == np.float32
    assert embeddings["domain"].value_counts().to_dict() == {"simulated": 16, "survey": 10}

    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert {"loss", "val_simulated", "val_monitored", "learning_rate", "seconds"} < set(history)
    record = json.loads((run / "run.json").read_text())
    assert record["method"] == "baseline" and record["epochs_run"] == 2
    assert record["best_epoch"] == history["val_monitored"].idxmin() + 1
    # A network that never saw the survey says so; what it was tested on is recorded beside it.
    digests = {name: file_digest(path) for name, path in domains.items()}
    assert record["datasets"] == {"simulated": digests["simulated"]}
    assert json.loads((run / "predictions.json").read_text()) == {"datasets": digests}
    environment = json.loads((run / "environment.json").read_text())
    assert environment["backend"] == "tensorflow" and environment["seconds"] > 0


def test_saved_model_predicts_standardised_parameters_in_safe_mode(
    trained: Path, domains: dict[str, Path]
) -> None:
    run = trained
    model = keras.saving.load_model(run / "model" / "network.keras", safe_mode=True)
    record = json.loads((run / "run.json").read_text())
    scaler = TargetScaler.from_dict(record["answer"]["scaling"])
    with StampSet(domains["survey"]) as stamps:
        images = stamps.images(stamps.rows("test"))[..., None]
    table = pd.read_parquet(run / "predictions.parquet").query("domain == 'survey'")
    table = table[table["split"] == "test"]
    np.testing.assert_allclose(
        scaler.inverse(model.predict(images, verbose=0)),
        table[[f"{name}_predicted" for name in PARAMETERS]],
        rtol=1e-5,
        atol=1e-5,
    )
    assert record["parameter_count"] == model.count_params()


def test_learns(job: MakeJob) -> None:
    arguments = job({"epochs": 12, "learning_rate": 5e-3, "augment": "all", "patience": 12})
    train(arguments)
    history = pd.read_csv(arguments.output / "history.csv")
    assert history["val_simulated"].min() < 0.6 * history["val_simulated"].iloc[0]


def test_magnitude_limit_drops_faint_stamps_everywhere(
    job: MakeJob, domains: dict[str, Path]
) -> None:
    arguments = job({"max_magnitude": 20.5, "epochs": 1})
    train(arguments)
    predict_into(arguments.output, domains)
    predictions = pd.read_parquet(arguments.output / "predictions.parquet")
    assert predictions["magnitude_true"].max() <= 20.5
    assert set(predictions["domain"]) == {"simulated", "survey"}


# --- determinism and resuming ----------------------------------------------------------------


def test_same_seed_same_run(job: MakeJob, domains: dict[str, Path], tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for run in (first, second):
        train(job({**SEMI, "augment": "all", "epochs": 2}, output=run))
        predict_into(run, domains)
    assert_same_run(first, second)
    for name in ("predictions.parquet", "embeddings.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def interrupt(job: Job, epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, and stop after so many epochs, once the state is saved."""
    save = Checkpoint.save

    def save_and_stop(self: Checkpoint, model: Any, progress: CheckpointProgress) -> None:
        save(self, model, progress)
        if progress.epoch == epoch:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoint, "save", save_and_stop)
        train(job)


def test_interrupted_training_ends_like_an_uninterrupted_one(
    job: MakeJob,
    tmp_path: Path,
    with_dropout: Network,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dropout, moments, schedules, orientations and early stopping all continue where they were."""
    settings = {
        **MATCHED,
        "network": with_dropout,
        "augment": "all",
        "learning_rate_schedule": "cosine",
        "epochs": 3,
    }
    train(job(settings, output=tmp_path / "whole"))
    arguments = job(settings, output=tmp_path / "halves")
    interrupt(arguments, 1, monkeypatch)
    assert not arguments.output.exists()
    train(arguments)
    assert "continues after epoch 1" in capfd.readouterr().err
    assert_same_run(tmp_path / "whole", tmp_path / "halves")


def test_half_precision_trains_and_leaves_an_exact_network(
    job: MakeJob, trained: Path, tmp_path: Path
) -> None:
    start = trained / "run.json"
    for name, precision in (("half", "bfloat16"), ("exact", "float32")):
        settings = {"precision": precision, "epochs": 2, "starts_from": "baseline"}
        train(job(settings, output=tmp_path / name, start=start))
    half, exact = (pd.read_csv(tmp_path / name / "history.csv") for name in ("half", "exact"))
    assert (half["loss"] != exact["loss"]).all()
    np.testing.assert_allclose(half["loss"], exact["loss"], rtol=0.05)
    model = network(tmp_path / "half")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


def test_training_killed_after_its_last_epoch_only_writes_its_run(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps too small for float32 bring no second best epoch, so patience ends the training."""
    arguments = job({"epochs": 9, "patience": 1, "learning_rate": 1e-12})
    interrupt(arguments, 2, monkeypatch)
    train(arguments)
    record = json.loads((arguments.output / "run.json").read_text())
    assert (record["epochs_run"], record["best_epoch"]) == (2, 1)


@pytest.mark.parametrize("damage", ["other", "torn", "smaller"])
def test_useless_checkpoint_is_deleted_and_ignored(
    tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def compiled(units: int) -> keras.Model:
        model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(units)])
        model.compile(keras.optimizers.Adam(), "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    row = {"epoch": 1, "loss": 1.0}
    saved = Checkpoint(tmp_path / "checkpoint", "mine")
    saved.save(compiled(2 if damage == "smaller" else 3), CheckpointProgress([row], 1.0, 1, []))
    if damage == "torn":
        saved.file.write_bytes(saved.file.read_bytes()[:1000])
    model = compiled(3)
    before = model.get_weights()
    reader = Checkpoint(saved.folder, "another" if damage == "other" else "mine")
    assert reader.load(model).epoch == 0
    assert not saved.folder.exists()
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "unusable" in capfd.readouterr().err


def test_early_stopping_keeps_the_best_weights(job: MakeJob, domains: dict[str, Path]) -> None:
    arguments = job({"learning_rate": 0.05, "epochs": 30, "patience": 2})
    train(arguments)
    run = arguments.output
    predict_into(run, domains)
    record = json.loads((run / "run.json").read_text())
    assert record["epochs_run"] == record["best_epoch"] + 2 < 30
    predictions = pd.read_parquet(run / "predictions.parquet")
    rows = predictions[
        (predictions["domain"] == "simulated") & (predictions["split"] == "validation")
    ]
    scaler = TargetScaler.from_dict(record["answer"]["scaling"])
    true, predicted = (
        scaler.transform(rows[[f"{name}_{kind}" for name in PARAMETERS]].to_numpy())
        for kind in ("true", "predicted")
    )
    assert np.abs(predicted - true).mean() == pytest.approx(record["best_monitored"], rel=1e-5)


# --- labels ----------------------------------------------------------------------------------


def test_no_survey_label_reaches_a_label_free_training(job: MakeJob, tmp_path: Path) -> None:
    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        table[list(PARAMETERS)] = np.random.default_rng(7).uniform(0, 1e3, (len(table), 4))
        return table

    corrupted = write_domain(tmp_path / "corrupted.h5", "survey", corrupt)
    supervised = {**BOTH, "survey_labels": True}
    for name, settings in (("semi", MATCHED), ("supervised", supervised)):
        settings = {**settings, "epochs": 1}
        same = name == "semi"
        train(job(settings, output=tmp_path / name))
        train(job(settings, output=tmp_path / f"{name}-corrupted", survey=corrupted))
        pairs = zip(weights(tmp_path / name), weights(tmp_path / f"{name}-corrupted"), strict=True)
        assert all((one == other).all() for one, other in pairs) == same


def test_missing_labels_cost_their_stamps_only(job: MakeJob, tmp_path: Path) -> None:
    def forget(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[::2, "sersic_index"] = np.nan
        return table

    survey = write_domain(tmp_path / "holes.h5", "survey", forget)
    arguments = job({**SUPERVISED, "epochs": 1}, survey=survey)
    train(arguments)
    assert np.isfinite(pd.read_csv(arguments.output / "history.csv")["val_survey"]).all()


@pytest.mark.parametrize(
    ("settings", "monitored"),
    [
        (SEMI, ["val_simulated"]),
        (SUPERVISED, ["val_simulated", "val_survey"]),
        ({"domains": ["survey"], "survey_labels": True}, ["val_survey"]),
    ],
)
def test_what_stops_training(job: MakeJob, settings: dict[str, Any], monitored: list[str]) -> None:
    arguments = job({**settings, "epochs": 1})
    train(arguments)
    history = pd.read_csv(arguments.output / "history.csv")
    assert [name for name in ("val_simulated", "val_survey") if name in history] == monitored
    np.testing.assert_allclose(history["val_monitored"], history[monitored].mean(axis=1))


def batch_weights(masking: str) -> np.ndarray:
    images, once = np.zeros((8, SIDE, SIDE, 1), np.float32), np.ones(8, int)
    labels = np.random.default_rng(1).standard_normal((8, 4))
    hidden = labels if masking == "fixed_vector" else labels * np.nan
    training = {
        "simulated": Examples(images, labels, np.arange(8), once),
        "survey": Examples(images, hidden, np.arange(8), once),
    }
    method = Method(**BOTH, alignment={"kind": "dann", "masking": masking}, batch_size=8)
    batches = Batches(training, Numbers(SERSIC).fitted(labels, None), method, seed=1)
    return np.stack([weight["answer"] * (1 + y["domain"]) for _, y, weight in batches])


def test_each_example_carries_its_own_mask() -> None:
    """Weight times (1 + domain): 1 for a simulated stamp that counts, 2 would be a survey stamp."""
    assert sorted(batch_weights("per_example")[0]) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_the_printed_mask_hides_places_not_stamps() -> None:
    printed = batch_weights("fixed_vector")
    assert (printed[:, :4] == 0).all()
    assert (printed[:, 4:] == 2).any() and (printed[:, 4:] == 1).any()


# --- schedules -------------------------------------------------------------------------------


def test_strength_and_rate_reach_the_training(job: MakeJob) -> None:
    arguments = job({**SEMI, "learning_rate_schedule": "cosine"})
    train(arguments)
    history = pd.read_csv(arguments.output / "history.csv")
    progress = history["epoch"] / 3
    np.testing.assert_allclose(
        history["learning_rate"], 1e-3 * 0.5 * (1 + np.cos(np.pi * progress)), atol=1e-9
    )
    np.testing.assert_allclose(history["reversal_strength"], np.tanh(5 * progress), rtol=1e-5)


# --- transfer --------------------------------------------------------------------------------


def test_transfer_starts_from_weights_and_scaling(
    job: MakeJob, domains: dict[str, Path], start: Path
) -> None:
    """A step too small to see leaves the start's predictions."""
    settings = {"domains": ["survey"], "survey_labels": True, "starts_from": "baseline"}
    arguments = job({**settings, "epochs": 1, "learning_rate": 1e-9}, start=start)
    train(arguments)
    predict_into(arguments.output, domains)
    before = pd.read_parquet(start.parent / "predictions.parquet").drop(columns=["split", "domain"])
    after = pd.read_parquet(arguments.output / "predictions.parquet")
    np.testing.assert_allclose(after[before.columns], before, rtol=1e-4, atol=1e-4)


def test_dense_freezes_the_convolutions(job: MakeJob, start: Path) -> None:
    settings = {**SUPERVISED, "starts_from": "baseline", "trainable": "dense"}
    arguments = job(settings, start=start)
    train(arguments)
    before, after = weights(start.parent), weights(arguments.output)
    same = [bool((one == other).all()) for one, other in zip(before, after, strict=True)]
    convolutional = [one.ndim == 4 for one in before]
    assert all(same[index] for index, found in enumerate(convolutional) if found)
    assert not same[-2]
    # Only that training was frozen: the next one, from its result, is free again.
    saved = network(arguments.output)
    assert all(layer.trainable for layer in saved.layers)


def test_the_features_take_shorter_steps(job: MakeJob, start: Path, tmp_path: Path) -> None:
    """One step of Adam is as long as its rate, whatever the gradient: rates show in weights."""
    settings = {**SUPERVISED, "alignment": None, "starts_from": "baseline", "epochs": 1}
    settings |= {"batch_size": 64, "learning_rate": 1e-3, "feature_rate": 0.01}
    arguments = job(settings, start=start)
    train(arguments)
    moved = [
        float(np.abs(after - before).max())
        for before, after in zip(weights(start.parent), weights(arguments.output), strict=True)
    ]
    # The last two layers of two variables each are the heads'; all others lead to the features.
    assert max(moved[:-4]) < 3e-5
    assert min(moved[-4:]) > 5e-4


def test_the_population_is_matched_without_a_label(
    job: MakeJob,
    domains: dict[str, Path],
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A survey of bright blobs only: simulated ones as bright must come to weigh more."""

    with StampSet(domains["survey"]) as stamps:
        keep = (stamps.table["magnitude"] < 20.5) | (stamps.table["split"] != "train")
        rows = np.flatnonzero(keep.to_numpy())
        table = stamps.table.iloc[rows].reset_index(drop=True).assign(magnitude=np.nan)
        write_stamps(tmp_path / "bright.h5", [stamps.images(rows)], table, stamps.metadata)
    settings = {**BOTH, "starts_from": "baseline", "match_population": True, "epochs": 1}
    arguments = job(settings, start=start, survey=tmp_path / "bright.h5")
    original = trainer.Batches

    def watched(*given: Any) -> Batches:
        made = original(*given)
        batches.append(made)
        return made

    batches: list[Batches] = []
    monkeypatch.setattr(trainer, "Batches", watched)
    train(arguments)
    with StampSet(domains["simulated"]) as stamps:
        magnitude = stamps.table["magnitude"].to_numpy()[stamps.rows("train")]
    found = batches[0].population_weights
    weights = found[: len(magnitude)]
    assert weights.mean() == pytest.approx(1, abs=1e-3)
    assert weights[magnitude < 20].mean() > 1.3 * weights[magnitude > 21].mean()
    # The survey's stamps carry no label, so they weigh nothing whatever their factor.
    assert (found[len(magnitude) :] == 1).all()


# --- alignment terms and adaptive normalisation ----------------------------------------------


@pytest.mark.parametrize("kind", ["coral", "mmd", "dare_gram"])
def test_every_term_brings_the_domains_closer(job: MakeJob, kind: str, tmp_path: Path) -> None:
    """Against a training whose term weighs next to nothing, on the same batches."""
    terms = {}
    for name, weight in (("with", 30.0), ("without", 1e-9)):
        alignment = {"kind": kind, "weight": weight}
        if kind == "dare_gram":
            alignment |= {"angle": 1.0, "scale": 0.1}
        settings = {**BOTH, "alignment": alignment, "epochs": 20, "batch_size": 20, "patience": 20}
        settings |= {"learning_rate": 3e-3}
        arguments = job(settings, output=tmp_path / name)
        train(arguments)
        terms[name] = pd.read_csv(tmp_path / name / "history.csv")["domain_loss"].tail(5).mean()
    assert 0 <= terms["with"] < 0.7 * terms["without"]


def test_a_term_of_ones_own_trains_as_the_registered_one(job: MakeJob, tmp_path: Path) -> None:
    file = tmp_path / "losses.py"
    file.write_text(
        "from galadapt.learners.keras import alignment\n\n\n"
        "def mine(*batch):\n    return alignment.coral(*batch)\n"
    )
    kinds: dict[str, dict[str, Any]] = {"coral": {}, "own": {"function": f"{file}:mine"}}
    for kind, more in kinds.items():
        settings = {**BOTH, "alignment": {"kind": kind, "weight": 3.0, **more}, "epochs": 1}
        train(job(settings, output=tmp_path / kind, checkpoint=tmp_path / f"{kind}_checkpoint"))
    for one, other in zip(weights(tmp_path / "coral"), weights(tmp_path / "own"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_wrong_network_is_refused_before_stamps_are_read(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def tower(x, network):\n    return x\n")
    monkeypatch.delattr("galadapt.learners.train.read")
    method = {"network": {"architecture": f"{file}:tower"}}
    expected = rf"method_settings\.mine: .*mine\.py:tower: .*\(n, {SIDE}, {SIDE}, 1\), not \(n, f\)"
    with pytest.raises(ConfigError, match=expected):
        train(job(method, method_name="mine"))


def test_batch_normalisations_take_the_surveys_moments(
    job: MakeJob, domains: dict[str, Path]
) -> None:
    described = Network(architecture="candels_baseline")
    arguments = job({**BOTH, "network": described, "adapt_batch_norm": True, "epochs": 1})
    train(arguments)
    model = network(arguments.output)
    with StampSet(domains["survey"]) as stamps:
        images = stamps.images(stamps.rows("train"))[..., None]
    found = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(found) == 3
    for layer in found:
        received = keras.Model(model.input, layer.input).predict(images, verbose=0)
        axes = tuple(range(received.ndim - 1))
        mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
        np.testing.assert_allclose(received.mean(axes), mean, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(received.var(axes), variance, rtol=1e-3, atol=1e-5)


def test_one_network_per_parameter_goes_through_every_training(
    job: MakeJob, domains: dict[str, Path], tmp_path: Path
) -> None:
    """Frozen, slowed and aligned: the joined features stand for all trunks."""
    settings = {"network": Network(per_parameter=True), "epochs": 1, "batch_size": 32}
    train(job(settings, output=tmp_path / "first"))
    predict_into(tmp_path / "first", domains)
    embeddings = pd.read_parquet(tmp_path / "first" / "embeddings.parquet")
    assert sum(name.startswith("f") for name in embeddings) == 4 * 128
    start = tmp_path / "first" / "run.json"
    settings |= {**SUPERVISED, "starts_from": "baseline", "alignment": {"kind": "coral"}}

    def moved(name: str, **changes: Any) -> dict[bool, list[float]]:
        """Say how far each weight of the heads (False) and of the trunks (True) went."""
        train(job({**settings, **changes}, start=start, output=tmp_path / name))
        before, after = network(start.parent), network(tmp_path / name)
        trunks = {variable.path for variable in feature_extractor(before).trainable_variables}
        found: dict[bool, list[float]] = {True: [], False: []}
        for one, other in zip(before.weights, after.weights, strict=True):
            found[one.path in trunks].append(float(np.abs(one.numpy() - other.numpy()).max()))
        assert (len(found[True]), len(found[False])) == (4 * 8, 4 * 4)
        return found

    frozen = moved("frozen", trainable="dense")
    assert max(frozen[True]) == 0 and min(frozen[False]) > 5e-4
    slowed = moved("slowed", feature_rate=0.01)
    assert 0 < min(slowed[True]) <= max(slowed[True]) < 1e-4 < min(slowed[False])


def test_answers_averaged_over_orientations_do_not_depend_on_them(
    job: MakeJob, trained: Path, domains: dict[str, Path], tmp_path: Path
) -> None:
    averaging = job({"average_orientations": True, "epochs": 2})
    train(averaging)
    for one, other in zip(weights(averaging.output), weights(trained), strict=True):
        np.testing.assert_array_equal(one, other)

    def turned(run: Path, orientation: int) -> list[np.ndarray]:
        """What a network says of a survey all of whose stamps are turned: answers, features."""
        with StampSet(domains["survey"]) as stamps:
            images = np.ascontiguousarray(oriented(stamps.images(), orientation))
            write_stamps(tmp_path / "turned.h5", [images], stamps.table, stamps.metadata)
        predict_into(run, {"survey": tmp_path / "turned.h5"}, tmp_path)
        found = [pd.read_parquet(tmp_path / f"{n}.parquet") for n in ("predictions", "embeddings")]
        return [
            found[0].filter(like="_predicted").to_numpy(),
            found[1].filter(regex=r"^f\d").to_numpy(),
        ]

    plain, upright = turned(trained, 0), turned(averaging.output, 0)
    for orientation in (1, 2, 4, 7):
        for one, other in zip(turned(averaging.output, orientation), upright, strict=True):
            np.testing.assert_array_equal(one, other)
        for one, other in zip(turned(trained, orientation), plain, strict=True):
            assert np.abs(one - other).max() > 1e-3


def test_normalisations_of_every_trunk_are_adapted() -> None:
    keras.utils.set_random_seed(1)
    model = build(Network(architecture="residual", per_parameter=True), 16, 2)
    images = np.random.default_rng(1).gamma(2.0, size=(40, 16, 16, 1)).astype(np.float32)
    adaptation.adapt_batch_norm(model, images)
    found = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(found) == 2 * 7
    normalised = keras.Model(model.input, [layer.output for layer in found])(images)
    for layer, values in zip(found, normalised, strict=True):
        values = np.asarray(values).reshape(-1, values.shape[-1])
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-3, err_msg=layer.name)
        assert values.std() > 0.5


def test_logarithms_are_learned_and_undone(job: MakeJob, domains: dict[str, Path]) -> None:
    arguments = job({"logarithmic": ["effective_radius", "sersic_index"], "epochs": 1})
    train(arguments)
    predict_into(arguments.output, domains)
    record = json.loads((arguments.output / "run.json").read_text())
    assert record["answer"]["scaling"]["logarithmic"] == ["effective_radius", "sersic_index"]
    predictions = pd.read_parquet(arguments.output / "predictions.parquet")
    # Untrained, a network says the mean of what it learns: a geometric mean here.
    with StampSet(domains["simulated"]) as stamps:
        radii = stamps.table["effective_radius"].to_numpy()[stamps.rows("train")]
    assert record["answer"]["scaling"]["mean"][1] == pytest.approx(np.log(radii).mean())
    assert (predictions["effective_radius_predicted"] > 0).all()


# --- bad input -------------------------------------------------------------------------------


def test_diverged_training_says_what_to_lower(job: MakeJob) -> None:
    arguments = job({"learning_rate": 1e30, "loss": "mse"})
    with pytest.raises(
        RunError, match=r"seed1: training diverged .* lower method_settings.baseline.learning_rate"
    ):
        train(arguments)
    assert not arguments.output.exists()


def test_network_without_normalisations_has_none_to_adapt(job: MakeJob) -> None:
    with pytest.raises(ConfigError, match="'compact' has no batch normalisation; choose another"):
        train(job({**BOTH, "adapt_batch_norm": True}))


def test_start_model_not_given(job: MakeJob) -> None:
    with pytest.raises(DataError, match=r"builds on 'baseline' but was given no run"):
        train(job({"starts_from": "baseline"}))


def test_start_model_is_broken(job: MakeJob, start: Path) -> None:
    (start.parent / "model" / "network.keras").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"network.keras: not a readable Keras model"):
        train(job({"starts_from": "baseline"}, start=start))


def test_start_model_without_its_record(job: MakeJob, start: Path) -> None:
    (start.parent / "run.json").unlink()
    with pytest.raises(DataError, match=r"run.json: no such file"):
        train(job({"starts_from": "baseline"}, start=start))


def test_start_model_of_other_targets(job: MakeJob, start: Path) -> None:
    with pytest.raises(DataError, match=r"predicts magnitude, .* start from a run of the same"):
        train(job({"starts_from": "baseline"}, start=start, quantities=SERSIC[:2]))


def test_domains_of_different_size(job: MakeJob, tmp_path: Path) -> None:
    with StampSet(job({}).given["survey"]) as stamps:
        small = stamps.images()[:, 2:-2, 2:-2]
        write_stamps(tmp_path / "small.h5", [small], stamps.table, stamps.metadata)
    with pytest.raises(DataError, match=r"stamps of 12 px beside .* give both the same variant"):
        train(job(BOTH, survey=tmp_path / "small.h5"))


@pytest.mark.parametrize("domain", ["simulated", "survey"])
def test_domain_that_a_method_trains_on_is_not_given(job: MakeJob, domain: str) -> None:
    with pytest.raises(DataError, match=f"trains on domain '{domain}' but was given no stamps"):
        train(job(BOTH, **{domain: None}))


def test_survey_that_a_method_does_not_train_on_is_not_read(job: MakeJob, tmp_path: Path) -> None:
    train(job({"epochs": 1}, survey=tmp_path / "absent.h5", output=tmp_path / "named"))
    train(job({"epochs": 1}, survey=None, output=tmp_path / "not"))
    assert_same_run(tmp_path / "named", tmp_path / "not")


def test_entries_leave_keras_unimported_until_its_backend_is_chosen() -> None:
    code = (
        "import sys, galadapt.learners.train, galadapt.learners.predict; "
        "from galadapt.learners.keras import backend; assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_backend_cannot_change_in_a_running_process() -> None:
    with pytest.raises(RunError, match="keras already runs on tensorflow, not jax"):
        backend.prepare(Compute(backend="jax"))


def test_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ConfigError, match="'torch' is not installed; install it or choose"):
        backend.prepare(Compute(backend="torch"))
