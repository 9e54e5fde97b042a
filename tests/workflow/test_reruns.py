"""What a change reruns: exactly what depends on it, on the real DAG of the smoke preset.

Two variants, four methods, one seed: eight trainings.
"""

from __future__ import annotations

import os
import random

import pytest

pytestmark = pytest.mark.workflow

#: Jobs that follow from any change of one run or more.
TABLES = {
    **{"track": 1, "comparison": 1, "choice": 1, "against_fits": 1},
    **{"comparison_figures": 1, "report": 1},
}


def per_run(count: int) -> dict[str, int]:
    return {"train": count, "predict": count, "evaluate": count, "run_figures": count}


def test_finished_tree_has_nothing_to_do(finished):
    assert finished.planned() == {}


#: The networks that `predict` uses: asinh and transfer.
PACKAGE = {"package": 1, "package_figures": 1}


@pytest.mark.parametrize(("method", "packaged"), [("transfer", PACKAGE), ("dann_supervised", {})])
def test_learning_rate_of_one_method(copy, method, packaged):
    copy.configure(method_settings={method: {"learning_rate": 3.0e-4}})
    assert copy.planned() == {**per_run(2), **packaged, "variant_figures": 2, **TABLES}


def test_learning_rate_of_the_method_others_start_from(copy):
    copy.configure(method_settings={"baseline": {"learning_rate": 3.0e-4}})
    starting = sum(
        method["starts_from"] == "baseline"
        for method in copy.settings()["method_settings"].values()
        if method.get("starts_from")
    )
    assert starting >= 1
    jobs = {**per_run(2 * (1 + starting)), **PACKAGE, "variant_figures": 2, **TABLES}
    assert copy.planned() == jobs


def test_stretch_of_one_variant(copy):
    chain = [{"step": "rebin", "factor": 2}, {"step": "noise_asinh", "softening": 5.0}]
    copy.configure(variant_chains={"asinh": chain})
    # The two domains, and the other simulation that one method learns from.
    jobs = {"variant": 3, **per_run(4), **PACKAGE, "variant_figures": 1, **TABLES}
    assert copy.planned() == jobs


def test_selection_trains_only_what_learned_from_the_survey(copy):
    copy.configure(selection={"max_flag": 1})
    methods = copy.settings()["method_settings"]
    learned = [name for name in copy.settings()["methods"] if "survey" in methods[name]["domains"]]
    assert "baseline" not in learned
    assert copy.planned() == {
        "select": 1,
        "extract": 1,
        "variant": 2,
        **per_run(8),
        "train": 2 * len(learned),
        **PACKAGE,
        "profile_fits": 1,
        "data_figures": 1,
        "variant_figures": 2,
        **TABLES,
    }


def test_another_simulation_trains_only_what_learns_from_it(copy):
    copy.configure(simulations={"blurred": {"realism": {"psf": {"blur": [0.02, 0.05]}}}})
    assert copy.planned() == {
        "simulate": 2,
        "variant": 2,
        **per_run(2),
        "data_figures": 1,
        "variant_figures": 2,
        **TABLES,
    }


def test_more_fitted_galaxies_train_nothing(copy):
    copy.configure(profile_fit={"galaxies": 5})
    assert copy.planned() == {"profile_fits": 1, "against_fits": 1, "track": 1, "report": 1}


def test_new_seed_trains_itself_and_what_it_teaches(copy):
    copy.configure(seeds=[1, 2])
    # And the one that is taught by all seeds of its start, in both variants.
    taught = [
        name
        for name, method in copy.settings()["method_settings"].items()
        if method.get("self_training")
    ]
    assert taught == ["dann_semisupervised"]
    assert copy.planned() == {**per_run(8 + 2), **PACKAGE, "variant_figures": 2, **TABLES}


def test_editing_the_renderer_simulates_again(copy):
    path = copy.folder / "src/galadapt/simulation/renderers.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    planned = copy.planned()
    assert planned["simulate"] == 4
    assert planned["train"] == 8
    # The mock survey does not use the training renderer.
    assert {"survey", "select", "extract"}.isdisjoint(planned)


def test_editing_a_plot_draws_again_and_trains_nothing(copy):
    path = copy.folder / "src/galadapt/plots/style.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    planned = copy.planned()
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


@pytest.mark.parametrize("package", ["simulation", "surveys", "learners/keras", "plots"])
def test_editing_a_comment_or_docstring_does_nothing(copy, package):
    for path in sorted((copy.folder / "src/galadapt" / package).glob("*.py")):
        text = path.read_text()
        head, quotes, rest = text.partition('"""')
        path.write_text(f"# a comment\n{head}{quotes}Reworded. {rest}\n\n# another\n")
    assert copy.planned() == {}


def test_describing_a_method_differently_does_not_train(copy):
    copy.configure(method_settings={"transfer": {"description": "other words"}})
    # The report and MLflow print descriptions.
    assert copy.planned() == {"track": 1, "report": 1}


def test_touching_every_file_does_nothing(copy):
    files = [path for path in copy.folder.rglob("*") if path.is_file() and ".git/" not in str(path)]
    random.Random(1).shuffle(files)
    for path in files:
        os.utime(path)
    assert copy.planned() == {}


def test_one_changed_run_is_computed_and_the_rest_kept(copy):
    before = copy.bytes_of("runs/**/predictions.parquet")
    copy.configure(method_settings={"transfer": {"learning_rate": 3.0e-4}})
    copy.snakemake("all")
    after = copy.bytes_of("runs/**/predictions.parquet")
    assert {name for name in before if before[name] != after[name]} == {
        name for name in before if "/transfer/" in name
    }
    assert copy.planned() == {}
