"""What a change reruns: exactly what depends on it, on the real DAG of the smoke preset.

Two variants, four methods, one seed: eight trainings.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator

import pytest
from dag import Project

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def planning(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return finished.copy(tmp_path_factory.mktemp("planning") / "project")


@pytest.fixture
def project(planning: Project) -> Iterator[Project]:
    """One copy for all tests: plans compute nothing, and what a test edits is taken back."""
    yield planning
    planning.run("git", "checkout", "--quiet", "--", ".")


#: Jobs that follow from any change of one run or more.
TABLES = {
    **{"track": 1, "comparison": 1, "choice": 1, "against_fits": 1},
    **{"comparison_figures": 1, "report": 1},
}


def of_variants(count: int) -> dict[str, int]:
    """Jobs of so many variants, where predictions changed."""
    return {"variant_figures": count, "feature_space": count}


def per_run(count: int) -> dict[str, int]:
    return {"train": count, "predict": count, "evaluate": count, "run_figures": count}


def test_finished_tree_has_nothing_to_do(project):
    assert project.planned() == {}


#: The networks that `predict` uses: asinh and transfer.
PACKAGE = {"package": 1, "package_figures": 1}


@pytest.mark.parametrize(("method", "packaged"), [("transfer", PACKAGE), ("dann_supervised", {})])
def test_learning_rate_of_one_method(project, method, packaged):
    project.configure(method_settings={method: {"learning_rate": 3.0e-4}})
    assert project.planned() == {
        **per_run(2),
        **packaged,
        **of_variants(2),
        **TABLES,
    }


def test_learning_rate_of_the_method_others_start_from(project):
    project.configure(method_settings={"baseline": {"learning_rate": 3.0e-4}})
    starting = sum(
        method["starts_from"] == "baseline"
        for method in project.settings()["method_settings"].values()
        if method.get("starts_from")
    )
    assert starting >= 1
    jobs = {
        **per_run(2 * (1 + starting)),
        **PACKAGE,
        **of_variants(2),
        **TABLES,
    }
    assert project.planned() == jobs


def test_stretch_of_one_variant(project):
    chain = [{"step": "rebin", "factor": 2}, {"step": "noise_asinh", "softening": 5.0}]
    project.configure(variant_chains={"asinh": chain})
    # The two domains, and the other simulation that one method learns from.
    jobs = {
        "variant": 3,
        **per_run(4),
        **PACKAGE,
        **of_variants(1),
        **TABLES,
    }
    assert project.planned() == jobs


def test_selection_trains_only_what_learned_from_the_survey(project):
    project.configure(selection={"max_flag": 1})
    methods = project.settings()["method_settings"]
    learned = [
        name for name in project.settings()["methods"] if "survey" in methods[name]["domains"]
    ]
    assert "baseline" not in learned
    assert project.planned() == {
        "select": 1,
        "extract": 1,
        "variant": 2,
        **per_run(8),
        "train": 2 * len(learned),
        **PACKAGE,
        "profile_fits": 1,
        "data_figures": 1,
        **of_variants(2),
        **TABLES,
    }


def test_another_simulation_trains_only_what_learns_from_it(project):
    project.configure(simulations={"blurred": {"realism": {"psf": {"blur": [0.02, 0.05]}}}})
    assert project.planned() == {
        "simulate": 2,
        "variant": 2,
        **per_run(2),
        "data_figures": 1,
        **of_variants(2),
        **TABLES,
    }


def test_more_fitted_galaxies_train_nothing(project):
    project.configure(profile_fit={"galaxies": 5})
    assert project.planned() == {"profile_fits": 1, "against_fits": 1, "track": 1, "report": 1}


def test_new_seed_trains_itself_and_what_it_teaches(project):
    project.configure(seeds=[1, 2])
    # And the one that is taught by all seeds of its start, in both variants.
    taught = [
        name
        for name, method in project.settings()["method_settings"].items()
        if method.get("self_training")
    ]
    assert taught == ["dann_semisupervised"]
    assert project.planned() == {
        **per_run(8 + 2),
        **PACKAGE,
        **of_variants(2),
        **TABLES,
    }


def test_editing_the_renderer_simulates_again(project):
    path = project.folder / "src/galadapt/simulation/renderers.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    planned = project.planned()
    assert planned["simulate"] == 4
    assert planned["train"] == 8
    # The mock survey does not use the training renderer.
    assert {"survey", "select", "extract"}.isdisjoint(planned)


def test_editing_a_learner_that_no_method_uses_does_nothing(project):
    path = project.folder / "src/galadapt/learners/sklearn.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    assert project.planned() == {}


def test_editing_a_plot_draws_again_and_trains_nothing(project):
    path = project.folder / "src/galadapt/plots/style.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    planned = project.planned()
    assert planned["run_figures"] == 8
    assert {
        "simulate",
        "survey",
        "extract",
        "variant",
        "train",
        "predict",
        "evaluate",
        "comparison",
    }.isdisjoint(planned)


def test_describing_a_method_differently_does_not_train(project):
    project.configure(method_settings={"transfer": {"description": "other words"}})
    # The report and MLflow print descriptions.
    assert project.planned() == {"track": 1, "report": 1}


@pytest.fixture
def moved(project: Project) -> Iterator[Project]:
    """The project's results as on another machine: without Snakemake's records, of new dates."""
    shutil.move(project.folder / ".snakemake", project.folder / "kept")
    files = [path for path in (project.folder / "results").rglob("*") if path.is_file()]
    random.Random(2).shuffle(files)
    for path in files:
        os.utime(path)
    yield project
    shutil.rmtree(project.folder / ".snakemake")
    shutil.move(project.folder / "kept", project.folder / ".snakemake")


def test_copied_results_are_known_by_their_own_records(moved):
    assert moved.planned() == {}
    shutil.rmtree(moved.folder / ".snakemake")
    moved.configure(method_settings={"dann_supervised": {"learning_rate": 3.0e-4}})
    assert moved.planned() == {**per_run(2), **of_variants(2), **TABLES}
    listed = moved.run(
        "env",
        "PYTHONPATH=src",
        "python",
        "-m",
        "galadapt",
        "check",
        "--results",
        "config/config.yaml",
        check=False,
    )
    assert "seed1/run.json: made with method_settings.dann_supervised.learning_rate" in listed
    assert "/baseline/" not in listed


def test_results_copied_over_others_are_known_by_their_own_records(project):
    # Snakemake has records of the files that lay here before.
    folder = project.folder / "results/runs/galaxies/asinh/dann_supervised/seed1"
    (place,) = project.folder.glob("results/records/evaluate/*=dann_supervised,*variant=asinh.json")
    kept = {path: path.read_bytes() for path in (place, folder / "metrics.json")}
    (folder / "metrics.json").write_bytes(kept[folder / "metrics.json"] + b"\n")
    record = json.loads(place.read_text())
    name = str((folder / "metrics.json").relative_to(project.folder))
    record["outputs"][name] = hashlib.sha256((folder / "metrics.json").read_bytes()).hexdigest()
    record["settings"]["config"]["evaluation"]["bootstrap"] += 1
    place.write_text(json.dumps(record))
    os.utime(folder / "metrics.json", (1e9, 1e9))
    assert project.planned()["evaluate"] == 1
    for path, content in kept.items():
        path.write_bytes(content)


def test_results_without_any_record_are_made_again(moved):
    shutil.move(moved.folder / "results/records", moved.folder / "records")
    assert moved.planned()["train"] == 8
    shutil.move(moved.folder / "records", moved.folder / "results/records")
    assert moved.planned() == {}


MODULE = """
configfile: "mine.yaml"

module galadapt:
    snakefile: "{snakefile}"
    config: config

use rule * from galadapt as galadapt_*

rule mine:
    input: rules.galadapt_data.input
    output: "mine.txt"
    shell: "touch {{output}}"
"""


def test_the_workflow_runs_elsewhere_and_as_a_module_of_another(project, tmp_path):
    """As snakedeploy lays it out: the files of the workflow are found beside it."""
    folder = tmp_path / "with {braces}"
    folder.mkdir()
    everywhere = project.planned("data", "stars_data", "--directory", str(folder))
    assert everywhere["simulate"] == 4
    assert everywhere["stars_star_stamps"] == 1
    snakefile = project.folder / "workflow/Snakefile"
    (folder / "Snakefile").write_text(MODULE.format(snakefile=snakefile))
    shutil.copy(project.folder / "config/config.yaml", folder / "mine.yaml")
    planned = Project(folder).planned("mine")
    data = {name: count for name, count in everywhere.items() if not name.startswith("stars_")}
    assert planned == {"mine": 1, **{f"galadapt_{name}": n for name, n in data.items()}}


def test_a_checkout_may_lie_anywhere(project, tmp_path):
    other = project.copy(tmp_path / "a {checkout} ü")
    assert other.planned() == {}


def test_tracking_by_hand_is_tracking_by_the_workflow(copy):
    copy.run("env", "PYTHONPATH=src", "python", "-m", "galadapt", "track")
    text = copy.run("env", "PYTHONPATH=src", "python", "-m", "galadapt", "track")
    # Eight runs and the tables and figures of them all.
    assert "0 runs logged, 9 unchanged, 0 removed" in text


def test_comments_docstrings_and_new_dates_do_nothing(project):
    for package in ("simulation", "surveys", "learners/keras", "plots"):
        for path in sorted((project.folder / "src/galadapt" / package).glob("*.py")):
            head, quotes, rest = path.read_text().partition('"""')
            path.write_text(f"# a comment\n{head}{quotes}Reworded. {rest}\n\n# another\n")
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    files = [path for path in files if ".git" not in path.parts]
    random.Random(1).shuffle(files)
    for path in files:
        os.utime(path)
    assert project.planned() == {}
