"""Stages by their names: a task's own, those that all share, and none of another task."""

from __future__ import annotations

from pathlib import Path

import pytest

from galadapt.core.errors import ConfigError
from galadapt.pipeline import jobs
from galadapt.tasks import registry
from galadapt.tasks.reading import load


def test_a_task_has_its_own_stages_and_the_shared_ones() -> None:
    stars = set(jobs.of_task("stars"))
    assert {"train", "report", "stars.star_frames"} <= stars
    assert not any(name.startswith(("galaxies.", "screening.")) for name in stars)
    assert jobs.full_name("stars", "star_frames") == "stars.star_frames"
    assert jobs.full_name("stars", "train") == "train"
    assert jobs.find("stars.star_frames").name == "star_frames"


def test_every_stage_declares_files_that_it_writes() -> None:
    for name in jobs.names():
        stage = jobs.find(name)
        assert stage.files("output"), name
        assert not set(stage.files("input")) & set(stage.files("output")), name


@pytest.mark.parametrize("name", ["nothing", "stars.nothing", "star_frames", "planets.train"])
def test_an_unknown_stage_is_one_sentence(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no stage '{name}'; known: "):
        jobs.find(name)


def test_every_task_is_loaded_by_its_name() -> None:
    for name, kind in registry.experiments().items():
        assert kind.model_fields["task"].default == name
        assert registry.task(name).settings is kind


def test_what_a_task_measures_is_a_setting_of_its_trainings(repository: Path) -> None:
    run = {"variant": "asinh", "method": "baseline", "seed": "1"}
    demo = load(repository / "config/config.yaml")
    job = jobs.settings(demo, "train", task="galaxies", **run)
    measured = [one.to_dict() for one in registry.task("galaxies").quantities]
    assert job["config"]["quantities"] == measured
    assert "quantities" not in jobs.settings(demo, "report")["config"]
    # What a registry loads for it is listed where an experiment is given.
    listed = set(jobs.modules("evaluate", demo)) - set(jobs.modules("evaluate"))
    assert "galadapt.answers.numbers.metrics" in listed
