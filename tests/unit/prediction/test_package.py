"""A package says what its errors cover, and a broken one is refused in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conftest import write_run
from galadapt.core.errors import DataError
from galadapt.prediction.ensemble import Ensemble
from galadapt.prediction.make_package import _reference_domains
from galadapt.prediction.package import newest_package, read_package
from galadapt.stamps.format import StampSet
from galadapt.stamps.preprocess import apply_chain


def test_errors_cover_the_simulated_test(package):
    record = read_package(package).record
    rows = [row for row in record.coverage if row["magnitude_low"] is row["magnitude_high"] is None]
    assert {(row["domain"], row["level"]) for row in rows} == {
        (domain, level) for domain in ("simulated", "survey") for level in (0.68, 0.95)
    }
    for row in rows:
        for name in record.parameters:
            assert row[name] == pytest.approx(row["level"], abs=0.12)


def test_ranges_are_those_of_the_training(package, sets):
    ranges = read_package(package).record.training_ranges
    with StampSet(sets["simulated"]) as stamps:
        train = stamps.table[stamps.table["split"] == "train"]
    assert ranges["magnitude"].low == train["magnitude"].min()
    assert ranges["ellipticity"].high == train["ellipticity"].max()


def test_errors_come_from_every_domain_with_enough_labels(make_package, package):
    opened = read_package(package)
    record, reference = opened.record, opened.reference
    assert record.reference_domains == ("simulated", "survey")
    survey = reference["domain"] == "survey"
    truths = [f"{name}_true" for name in record.parameters]
    unlabelled = reference.copy()
    unlabelled.loc[survey, truths] = np.nan
    assert _reference_domains(record, unlabelled) == ("simulated",)
    few = pd.concat([reference[survey], reference[~survey].iloc[:10]])
    with pytest.raises(DataError, match="10 simulated validation galaxies are too few"):
        _reference_domains(record, few)
    trained = read_package(make_package(survey_labels=True)).record
    assert trained.labels_of == ("simulated", "survey")
    assert _reference_domains(trained, few) == ("survey",)


def test_the_ensemble_is_the_mean_of_its_members(package, sets):
    opened = read_package(package)
    with StampSet(sets["survey"]) as stamps:
        images = stamps.images(np.arange(5))
    both, first = Ensemble.of_package(opened)(images), Ensemble.of_package(opened, 1)(images)
    assert (first.spread == 0).all()
    assert (both.spread > 0).all()
    assert np.allclose(np.abs(both.predicted - first.predicted), both.spread)


def test_the_files_of_a_package_are_the_networks_of_its_runs(make_package, sets, tmp_path):
    from galadapt.answers.numbers.scaler import TargetScaler
    from galadapt.learners.keras import networks

    run = write_run(tmp_path / "seed1", 1)
    opened = read_package(make_package(runs=[run]))
    record = opened.record
    with StampSet(sets["survey"]) as stamps:
        images = stamps.images(np.arange(150))
    found = Ensemble.of_package(opened)(images)
    model = networks.load(run / "model" / "network.keras")
    inputs = apply_chain(images, record.variant_steps, record.pixel_rms)[..., None]
    scaler = TargetScaler.from_dict(record.members[0].target_scaling)
    features = networks.predict(networks.feature_extractor(model), inputs)
    np.testing.assert_allclose(found.features, features, rtol=1e-4, atol=1e-5)
    expected = scaler.inverse(networks.predict(model, inputs))
    np.testing.assert_allclose(found.predicted, expected, rtol=1e-5, atol=1e-5)


def test_a_stamp_does_not_depend_on_its_company(package, sets):
    ensemble = Ensemble.of_package(read_package(package))
    with StampSet(sets["survey"]) as stamps:
        images = stamps.images(np.arange(200))
    together, alone = ensemble(images), ensemble(images[150:151])
    assert np.array_equal(together.predicted[150:151], alone.predicted)
    assert np.array_equal(together.features[150:151], alone.features)


def test_a_package_may_average_over_orientations(package, sets):
    """Only the rounding of the variant's chain is left of how a galaxy lies."""
    opened = read_package(package)
    method = {**opened.record.method, "average_orientations": True}
    averaging = replace(opened, record=opened.record.model_copy(update={"method": method}))
    with StampSet(sets["survey"]) as stamps:
        images = stamps.images(np.arange(20))
    for turned in (np.rot90(images, 1, axes=(1, 2)), images[:, ::-1]):
        lying, upright = (Ensemble.of_package(averaging)(some) for some in (turned, images))
        assert np.allclose(lying.predicted, upright.predicted, rtol=1e-4)
        assert np.allclose(lying.features, upright.features, rtol=1e-3, atol=1e-3)
        lying, upright = (Ensemble.of_package(opened)(some) for some in (turned, images))
        assert not np.allclose(lying.predicted, upright.predicted, rtol=1e-3)


def test_known_stamps_are_familiar_and_noise_is_not(package, sets):
    opened = read_package(package)
    ensemble = Ensemble.of_package(opened)
    with StampSet(sets["simulated"]) as stamps:
        images = stamps.images(stamps.rows("test")[:200])
    known = opened.familiarity.distance(ensemble(images).features)
    assert (known > 1).mean() < 0.06
    wild = np.random.default_rng(1).standard_normal(images.shape).astype(np.float32)
    assert (opened.familiarity.distance(ensemble(wild).features) > 1).mean() > 0.9


def test_the_newest_package_is_found(package):
    assert newest_package(package.parent) == package


def test_runs_must_differ_in_their_seed_alone(make_package, tmp_path):
    runs = [write_run(tmp_path / f"seed{k}", k) for k in (1, 2)]
    record = json.loads((runs[1] / "run.json").read_text())
    (runs[1] / "run.json").write_text(json.dumps(record | {"method": "transfer"}))
    with pytest.raises(DataError, match="method differs from that of"):
        make_package(runs=runs)


def test_packaging_twice_gives_the_same_bytes(make_package, package):
    second = make_package(runs=[package.parent / f"seed{k}" for k in (1, 2)])
    for name in ("package.json", "reference.parquet"):
        assert (package / name).read_bytes() == (second / name).read_bytes()
