"""Self-training: whose answers are learned, and that no survey label is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blob_stamps import train_baseline, write_domain
from pydantic import ValidationError

from galadapt.config.training import Compute, Method, SelfTraining
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, write_json
from galadapt.core.quantity import SERSIC
from galadapt.learners.keras import backend
from galadapt.learners.train import train
from galadapt.stamps.format import StampSet, write_stamps

backend.prepare(Compute())

from galadapt.answers.base import known  # noqa: E402
from galadapt.answers.numbers.answer import Numbers  # noqa: E402
from galadapt.answers.numbers.scaler import TargetScaler  # noqa: E402
from galadapt.learners.job import Job  # noqa: E402
from galadapt.learners.keras.data import read_examples  # noqa: E402
from galadapt.learners.keras.self_training import pseudo_labelled  # noqa: E402

SELF = {
    "domains": ["simulated", "survey"],
    "starts_from": "baseline",
    "self_training": {"keep": 0.5},
    "epochs": 1,
}


@pytest.fixture(scope="module")
def teachers(
    domains: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ...]:
    """The starts of two seeds."""
    return tuple(
        train_baseline(tmp_path_factory.mktemp("teacher"), domains["simulated"], seed, epochs=1)
        / "model.keras"
        for seed in (1, 2)
    )


def survey_part(domains: dict[str, Path], teacher: Path) -> tuple[Any, Numbers]:
    scaler = TargetScaler.from_dict(read_json(teacher.parent / "run.json")["answer"]["scaling"])
    target = Numbers(SERSIC, scaler=scaler)
    with StampSet(domains["survey"]) as stamps:
        part = read_examples(stamps, stamps.rows("train"), target, with_labels=False)
    return part, target


def test_the_answers_that_scatter_least_are_kept(domains, teachers):
    part, target = survey_part(domains, teachers[0])
    one = pseudo_labelled(part, teachers, target, SelfTraining(keep=0.4), "self/tiny/seed1")
    every = pseudo_labelled(part, teachers, target, SelfTraining(keep=1.0), "self/tiny/seed1")
    kept = known(one.labels)
    assert kept.sum() == round(0.4 * len(part))
    assert known(every.labels).all()
    np.testing.assert_array_equal(one.labels[kept], every.labels[kept])
    np.testing.assert_array_equal(one.images, part.images)
    # A single network in a single orientation would say something else.
    alone = pseudo_labelled(part, teachers[:1], target, SelfTraining(keep=1.0), "self/tiny/seed1")
    assert not np.allclose(alone.labels, every.labels)


def test_labels_of_the_survey_change_nothing(job: Callable[..., Any], domains, teachers, tmp_path):
    runs = []
    for number in (1, 2):
        survey = domains["survey"]
        if number == 2:
            survey = write_domain(tmp_path / "relabelled.h5", "survey")
            with StampSet(survey) as stamps:
                table = stamps.table.assign(sersic_index=3.3)
                images, metadata = stamps.images(np.arange(len(stamps))), dict(stamps.metadata)
            write_stamps(survey, [images], table, metadata)
        output = tmp_path / f"run{number}"
        train(
            **job(
                SELF,
                start_model=teachers[0],
                teachers=teachers,
                survey=survey,
                output=output,
            )
        )
        runs.append((output / "history.csv").read_text().splitlines()[1].split(",")[:3])
    assert runs[0] == runs[1]


def test_another_teacher_is_another_run(job, teachers):
    settings = job(SELF, start_model=teachers[0])
    identities = {
        Job(**{**settings, "teachers": some}).identity("x") for some in (teachers, teachers[:1])
    }
    assert len(identities) == 2


def test_what_cannot_teach_is_refused(job, domains, teachers, tmp_path):
    with pytest.raises(DataError, match="self_training was given no network to learn from"):
        train(**job(SELF, start_model=teachers[0]))
    part, target = survey_part(domains, teachers[0])
    folder = tmp_path / "other"
    shutil.copytree(teachers[0].parent, folder)
    record = read_json(folder / "run.json")
    record["answer"]["quantities"] = record["answer"]["quantities"][:2]
    record["answer"]["scaling"] = {
        key: value[:2] if isinstance(value, list) and len(value) == 4 else value
        for key, value in record["answer"]["scaling"].items()
    }
    write_json(folder / "run.json", record)
    with pytest.raises(DataError, match="learned something else than magnitude"):
        pseudo_labelled(part, [folder / "model.keras"], target, SelfTraining(), "self")


@pytest.mark.parametrize(
    "changes",
    [{"starts_from": None}, {"domains": ["simulated"]}, {"survey_labels": True}],
)
def test_what_self_training_needs_is_said(changes):
    with pytest.raises(ValidationError, match="self_training: needs both domains, starts_from"):
        Method(**{**SELF, **changes})
