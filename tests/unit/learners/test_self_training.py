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

from galadapt.config.training import Compute, Method
from galadapt.core.errors import DataError
from galadapt.core.files import read_json, write_json
from galadapt.learners.job import Job
from galadapt.learners.keras import backend
from galadapt.learners.train import train
from galadapt.stamps.format import StampSet, write_stamps

backend.prepare(Compute())

from galadapt.answers.base import known  # noqa: E402
from galadapt.answers.numbers.answer import Numbers  # noqa: E402
from galadapt.learners.data import read_examples  # noqa: E402
from galadapt.learners.keras.adaptation import pseudo_labelled  # noqa: E402

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
        / "run.json"
        for seed in (1, 2)
    )


def learned(job: Job) -> Any:
    """What the survey's training stamps of a job come to be labelled as."""
    answer = Numbers.of_record(read_json(job.teachers[0])["answer"])
    with StampSet(job.given["survey"]) as stamps:
        part = read_examples(stamps, stamps.rows("train"), answer, job.method, False)
    return part, pseudo_labelled(part, job, answer)


def test_the_predictions_that_scatter_least_are_kept(job, teachers):
    def keeping(share: float, some: tuple[Path, ...] = teachers) -> Any:
        return learned(job({**SELF, "self_training": {"keep": share}}, teachers=some))

    (part, one), (_, every) = keeping(0.4), keeping(1.0)
    kept = known(one.labels)
    assert kept.sum() == round(0.4 * len(part))
    assert known(every.labels).all()
    np.testing.assert_array_equal(one.labels[kept], every.labels[kept])
    np.testing.assert_array_equal(one.images, part.images)
    # A single network predicts something else.
    assert not np.allclose(keeping(1.0, teachers[:1])[1].labels, every.labels)


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
        settings = {"start": teachers[0], "teachers": teachers, "survey": survey}
        train(job(SELF, output=output, **settings))
        runs.append((output / "history.csv").read_text().splitlines()[1].split(",")[:3])
    assert runs[0] == runs[1]


def test_another_teacher_is_another_run(job, teachers):
    settings = {"start": teachers[0]}
    assert len({job(SELF, teachers=t, **settings).identity for t in (teachers, teachers[:1])}) == 2


def test_what_cannot_teach_is_refused(job, teachers, tmp_path):
    with pytest.raises(DataError, match="self_training was given no network to learn from"):
        train(job(SELF, start=teachers[0]))
    other = tmp_path / "other" / "run.json"
    shutil.copytree(teachers[0].parent, other.parent)
    record = read_json(other)
    record["answer"]["quantities"][0]["name"] = "mass"
    write_json(other, record)
    with pytest.raises(DataError, match="learned something else than magnitude"):
        learned(job(SELF, teachers=(teachers[0], other)))


@pytest.mark.parametrize(
    "changes",
    [{"starts_from": None}, {"domains": ["simulated"]}, {"survey_labels": True}],
)
def test_what_self_training_needs_is_said(changes):
    with pytest.raises(ValidationError, match="self_training: needs both domains, starts_from"):
        Method(**{**SELF, **changes})
