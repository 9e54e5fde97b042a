"""Results carry what they were made with: what is stale is found without any workflow manager."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from galadapt.cli import main
from galadapt.config.base import merge
from galadapt.pipeline import jobs, records
from galadapt.tasks.experiment import Experiment
from galadapt.tasks.reading import load

RUN = {"task": "galaxies", "variant": "asinh", "method": "baseline", "seed": "1"}
FOLDER = Path("results/runs/galaxies/asinh/baseline/seed1")


@pytest.fixture
def config(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    experiment = load(repository / "config/config.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(records.VARIABLE, ":results:results/stars")
    (FOLDER / "model").mkdir(parents=True)
    for name in ("stamps.h5", "run.json"):
        (FOLDER / name).write_text(name)
    write(experiment)
    return experiment


def write(config: Experiment) -> None:
    settings = json.loads(json.dumps(jobs.settings(config, "train", **RUN)))
    outputs = {"run": [FOLDER / "run.json"], "checkpoint": [Path("results/checkpoints/a")]}
    records.write("train", settings, {"survey": [FOLDER / "stamps.h5"]}, outputs)


def changed(config: Experiment, **values: object) -> Experiment:
    return type(config).model_validate(merge(config.model_dump(mode="json"), values))


def test_results_of_the_same_settings_are_up_to_date(config: Experiment) -> None:
    (record,) = records.read(Path("results"))
    assert record.wildcards == RUN
    assert record.describes()
    assert records.stale(config) == {}
    # Other methods' settings, and words, do not count.
    other = {"transfer": {"learning_rate": 0.5}, "baseline": {"description": "new words"}}
    assert records.stale(changed(config, method_settings=other)) == {}


def test_a_changed_setting_is_named_with_both_values(config: Experiment) -> None:
    found = records.stale(changed(config, method_settings={"baseline": {"learning_rate": 0.5}}))
    before = config.method_settings["baseline"].learning_rate
    assert found == {
        str(FOLDER / "run.json"): (
            f"made with method_settings.baseline.learning_rate {before}, now 0.5"
        )
    }


def test_other_code_is_named(config: Experiment) -> None:
    path = records.place(Path("results"), "train", RUN)
    value = json.loads(path.read_text())
    value["settings"]["code"] = "0123456789abcdef"
    path.write_text(json.dumps(value))
    assert records.stale(config) == {str(FOLDER / "run.json"): "made with other code"}


def test_other_inputs_outputs_and_lost_records_are_found(config: Experiment) -> None:
    run, stamps = FOLDER / "run.json", FOLDER / "stamps.h5"
    stamps.write_text("others")
    assert records.stale(config) == {str(run): f"made from another {stamps}"}
    stamps.write_text("stamps.h5")
    run.write_text("copied over")
    assert records.stale(config) == {str(run): f"{run} is not what the job wrote"}
    assert not records.read(Path("results"))[0].describes()
    records.place(Path("results"), "train", RUN).write_text("{broken")
    assert "no record" in records.stale(config)[str(run)]


def test_what_the_experiment_does_not_name_is_left_to_prune(config: Experiment) -> None:
    assert records.stale(changed(config, seeds=[7])) == {}


def test_a_record_lies_in_the_innermost_folder_of_results(config: Experiment) -> None:
    assert records.results_of([Path("results/stars/runs/a")]) == Path("results/stars")
    assert records.results_of([Path("results/stars/a"), Path("results/b")]) == Path("results")
    assert records.results_of([Path("elsewhere/a")]) is None


def test_files_that_are_no_results_are_not_listed(config: Experiment) -> None:
    Path("results/logs").mkdir()
    Path("results/logs/train.log").write_text("")
    listed = {path.as_posix() for path in records.made_in("results")}
    assert str(FOLDER / "run.json") in listed
    assert str(FOLDER / "model") in listed
    assert not any(path.startswith(("results/logs", "results/records")) for path in listed)


def test_check_results_lists_what_is_stale_and_fails(
    config: Experiment, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(repository / "config/config.yaml")
    assert main(["check", "--results", file]) == 0
    assert "every result present is of this configuration" in capsys.readouterr().out
    Path("rate.yaml").write_text("method_settings: {baseline: {learning_rate: 0.5}}")
    assert main(["check", "--results", file, "rate.yaml"]) == 3
    printed = capsys.readouterr()
    assert "run.json: made with method_settings.baseline.learning_rate" in printed.out
    assert "1 results are not of this configuration and code; run the workflow" in printed.err
