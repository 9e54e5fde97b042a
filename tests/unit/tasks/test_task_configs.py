"""Experiments of other tasks: what fits together, and one sentence for what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from galadapt.config.base import merge
from galadapt.core.errors import ConfigError
from galadapt.pipeline import jobs
from galadapt.tasks.reading import of_task, validate


@pytest.fixture
def base(repository: Path):
    def of(task: str) -> dict:
        return yaml.safe_load((repository / "config" / f"{task}.yaml").read_text())

    return of


def with_changes(values: dict, changes: dict) -> dict:
    return merge(values, changes)


@pytest.mark.parametrize("task", ["stars", "screening"])
def test_shipped_experiments_are_of_their_task(base, task: str) -> None:
    checked = validate(base(task), "test")
    assert checked.task == task
    assert checked.domains == ("simulated",)
    assert checked.results == f"results/{task}"


def test_a_key_of_the_tasks_name_changes_its_experiment(base, repository: Path) -> None:
    values = base("stars")
    changed = of_task({**values, "stars": {"seeds": [7]}, "screening": {"x": 1}}, "stars")
    assert changed["seeds"] == [7]
    assert not {"stars", "screening"} & set(changed)
    # What is said of other tasks leaves the default experiment alone.
    galaxies = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    assert of_task({**galaxies, "stars": {"seeds": [7]}}, "galaxies") == galaxies


NETWORK = {"network": {"architecture": "stars_b"}}


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("stars", {"task": "planets"}, "task: no 'planets'; choose one of galaxies, stars"),
        ("stars", {"stars": [1]}, "stars: must contain keys and values"),
        ("stars", {"simulated": None}, "simulated and survey are both null"),
        ("stars", {"detektion": {}}, "unknown key; did you mean 'detection'"),
        ("stars", {"detection": {"stamp_size": 61}}, "multiple of 2"),
        (
            "stars",
            {"methods": ["x"], "method_settings": {"x": {**NETWORK, "domains": ["survey"],
             "survey_labels": True}}},
            r"method_settings.x.domains: there is no domain 'survey'",
        ),
        (
            "stars",
            {"methods": ["x"], "method_settings": {"x": {"network": {"architecture": "unet"},
             "answer": "mask"}}},
            "stamps of stars have no mask",
        ),
        (
            "stars",
            {"methods": ["x"], "method_settings": {"x": {**NETWORK, "answer": "mask"}}},
            "answer: mask and network.architecture: unet belong together",
        ),
        (
            "screening",
            {"methods": ["x"], "method_settings": {"x": {**NETWORK, "groups": {"a": ["0"]}}}},
            "one class is not enough to classify",
        ),
        (
            "screening",
            {"methods": ["x"], "method_settings": {"x": {**NETWORK,
             "groups": {"a": ["0"], "b": ["0", "1"]}}}},
            "each label belongs to one class only",
        ),
        (
            "screening",
            {"variants": ["y"], "methods": ["x"], "method_settings": {"x": NETWORK},
             "variant_chains": {"y": [{"step": "rebin", "factor": 4}]}},
            "not divisible by 4",
        ),
        (
            "screening",
            {"variants": ["y"], "methods": ["x"], "method_settings": {"x": NETWORK},
             "variant_chains": {"y": [{"step": "noise_asinh"}]}},
            "these stamps have no common noise",
        ),
        ("screening", {"simulated": {"binning": 3}}, "simulated"),
        ("screening", {"simulated": {"train": {"shares": [1, 1, 0, 0, 0, 0]}}}, "add up to 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(base, task: str, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        validate(with_changes(base(task), changes), "test.yaml")
    assert "\n" not in str(caught.value)


def test_a_method_may_keep_to_some_variants(base) -> None:
    checked = validate(base("screening"), "test")
    where = {(run.variant, run.method) for run in checked.runs()}
    assert ("minmax_sqrt", "segment") not in where
    assert {("contrast", "segment"), ("contrast", "three_conv")} <= where


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segment": {"variants": ["sqrt"]}}, r"segment.variants: \['sqrt'\] must be of variants"),
        ({"segment_classify": {"variants": None}}, "'segment', which is not trained on all"),
        (
            {"segment_classify": {"starts_from": None}},
            "needs starts_from, a method with answer: mask",
        ),
        ({"segment_classify": {"starts_from": "three_conv"}}, "has another network"),
    ],
)
def test_variants_and_starts_fit(base, changes: dict, message: str) -> None:
    values = with_changes(base("screening"), {"method_settings": changes})
    with pytest.raises(ConfigError, match=message):
        validate(values, "test")


@pytest.mark.parametrize(
    ("key", "value", "rerun"),
    [
        ("detection", {"threshold": 31.0}, {"star_stamps"}),
        ("simulated", {"side": 640}, {"star_frames", "star_stamps"}),
        ("evaluation", {"bootstrap": 60}, {"evaluate"}),
        ("splits", {"train": 0.5}, {"star_stamps"}),
    ],
)
def test_a_change_reaches_the_stages_that_read_it(base, key, value, rerun) -> None:
    wildcards = {"domain": "simulated", "variant": "peak", "method": "network_b", "seed": 1}
    wildcards["task"] = "stars"
    names = ("star_frames", "star_stamps", "variant", "train", "evaluate")

    def settings(values: dict) -> dict:
        checked = validate(values, "test")
        return {name: jobs.settings(checked, name, **wildcards) for name in names}

    before, after = settings(base("stars")), settings(with_changes(base("stars"), {key: value}))
    assert {name for name in names if before[name] != after[name]} == rerun


def test_a_section_that_is_switched_off_is_read_as_nothing(base, tmp_path: Path) -> None:
    (tmp_path / "fields").mkdir()
    survey = {"kind": "files", "folder": {"path": str(tmp_path / "fields")}}
    changes = {"simulated": None, "survey": survey}
    values = with_changes(base("screening"), changes)
    for method in values["method_settings"].values():
        method |= {"domains": ["survey"], "survey_labels": True}
    job = jobs.settings(validate(values, "test"), "survey_fields")
    assert job["config"]["simulated"] is None
    assert job["config"]["survey"]["folder"]["path"].endswith("fields")


def test_a_report_of_one_task_does_not_depend_on_the_code_of_another(base) -> None:
    codes = jobs.settings(validate(base("stars"), "test"), "report")["codes"]
    assert {"star_stamps", "evaluate", "train"} <= set(codes)
    assert not {"simulate", "simulated_fields", "package"} & set(codes)
