"""The configuration: what it refuses, in which words, and what decides a job's identity."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from galadapt.config.base import merge
from galadapt.core.errors import ConfigError
from galadapt.core.files import read_yaml
from galadapt.evaluation.labels import adapts
from galadapt.pipeline import jobs
from galadapt.prediction import pages
from galadapt.tasks import document
from galadapt.tasks.reading import assigned, load, typed, validate
from galadapt.tasks.registry import TASKS, experiments


@pytest.fixture(scope="module")
def values(repository: Path) -> dict:
    return yaml.safe_load((repository / "config" / "config.yaml").read_text())


def changed(values: dict, dotted: str, value: object) -> dict:
    result = copy.deepcopy(values)
    node = result
    *path, last = dotted.split(".")
    for key in path:
        node = node.setdefault(key, {})
    node[last] = value
    return result


BAD = [
    ("simulation.n_trian", 10, "simulation.n_trian: unknown key; did you mean 'n_train'?"),
    ("surveys", {}, "surveys: unknown key; did you mean 'survey'?"),
    ("image.stamp_size", 63, "image.stamp_size: input should be a multiple of 2, not 63"),
    ("image.stamp_size", "big", "image.stamp_size: input should be a valid integer"),
    ("image.pixel_scale", -0.06, "image.pixel_scale: input should be greater than 0, not -0.06"),
    ("image.pixel_scale", float("nan"), "image.pixel_scale: input should be a finite number"),
    ("simulation.shards", 0, "simulation.shards: input should be greater than or equal to 1"),
    ("simulation.priors.sersic_index.high", 8.0, "sersic_index: must lie inside [0.3, 6.2]"),
    ("simulation.priors.ellipticity.high", 1.0, "ellipticity: must lie inside [0, 0.99]"),
    ("simulation.priors.magnitude.low", 30, "magnitude: low 30 must be below high 23.5"),
    ("simulation.priors.effective_radius.low", -1, "effective_radius: must be positive"),
    ("simulation.noise.pixel_rms", 0, "simulation.noise.pixel_rms: input should be greater than 0"),
    ("selection.magnitude", [23, 18], "selection.magnitude: low 23 must be below high 18"),
    ("selection.magnitude", [18], "selection.magnitude: give an interval as [low, high]"),
    (
        "selection.magnitude",
        [18, 26],
        "selection.magnitude [18, 26] must lie inside the simulated range [18, 23.5]",
    ),
    ("variants", ["asinh", "nope"], "variants: 'nope' is not defined; known: ['asinh', 'div255']"),
    ("variants", ["asinh", "asinh"], "names something twice"),
    ("methods", [], "methods: list should have at least 1 item"),
    ("seeds", [1, 1], "seeds: [1, 1] names a seed twice"),
    ("methods", ["transfer"], "starts_from: 'baseline' must be one of methods ['transfer']"),
    (
        "variant_chains.asinh",
        [{"step": "rebin", "factor": 3}],
        "variant_chains.asinh: step 1 (rebin): stamps of 64 px are not divisible by 3",
    ),
    ("variant_chains.asinh", [{"step": "rebin", "factor": 8}], "leaves 8 px, fewer than 16"),
    (
        "variant_chains.asinh",
        [{"step": "stretch", "kind": "log"}],
        "the stretch 'log' needs an interval step before it",
    ),
    ("variant_chains.asinh", [{"step": "sharpen"}], "variant_chains.asinh.0: no step 'sharpen'"),
    (
        "method_settings.transfer.survey_labels",
        False,
        "training on the survey alone needs survey_labels: true",
    ),
    ("method_settings.baseline.survey_labels", True, "needs 'survey' in domains"),
    ("method_settings.baseline.alignment", {"kind": "dann"}, "needs both domains"),
    ("method_settings.baseline.alignment", {"kind": "mmd"}, "needs both domains"),
    (
        "method_settings.baseline.alignment",
        {"kind": "gan"},
        "alignment: no kind 'gan'; choose one of coral",
    ),
    (
        "method_settings.dann_supervised.alignment",
        {"kind": "mmd", "bandwidths": [0.0]},
        "bandwidths.0: input should be greater than 0",
    ),
    ("method_settings.baseline.trainable", "dense", "dense needs starts_from"),
    ("method_settings.baseline.feature_rate", 0.1, "below 1 needs starts_from"),
    ("method_settings.baseline.adapt_batch_norm", True, "needs 'survey' in domains"),
    ("method_settings.baseline.match_population", True, "needs both domains and starts_from"),
    ("method_settings.baseline.logarithmic", ["magnitude"], "input should be 'effective_radius'"),
    (
        "method_settings.transfer.logarithmic",
        ["sersic_index"],
        "transfer.logarithmic: starts from 'baseline', which learns []; give the same",
    ),
    ("method_settings.baseline.learning_rate", 0, "input should be greater than 0, not 0"),
    ("method_settings.baseline.max_magnitude", 15, "leaves nothing of the simulated magnitudes"),
    ("method_settings.baseline.starts_from", "transfer", "goes in a circle"),
    (
        "method_settings.transfer.network",
        {"architecture": "candels_baseline"},
        "starts from 'baseline' but has another network",
    ),
    ("survey.density", 10.0, "need a mosaic of 14143 px, above 10000; raise survey.density"),
    ("survey.catalog_limit", 17.9, "bright_limit 18, catalog_limit 17.9 and faint_limit 25.5"),
    ("simulation.shards", 999_999, "simulation.shards: input should be less than or equal to 1000"),
    ("seeds", [-1], "seeds.0: input should be greater than or equal to 0, not -1"),
    ("results", "my results; touch x", "results: string should match pattern"),
    ("simulation.noise.depth", "none", "none leaves realism.depth, realism.sky"),
    (
        "variant_chains.asinh",
        [{"step": "interval"}, {"step": "noise_asinh"}],
        "variant_chains.asinh: step 2 (noise_asinh): needs noise to scale by, but the step "
        "'interval' before it leaves none",
    ),
    ("psf.kind", "airy", "psf: no kind 'airy'; choose one of"),
    (
        "method_settings.baseline.alignment",
        {"kind": "corall"},
        "alignment: no kind 'corall'; did you mean 'coral'?",
    ),
    (
        "method_settings.baseline.alignment",
        {"kind": "coral", "wieght": 1},
        "baseline.alignment.wieght: unknown key; did you mean 'weight'?",
    ),
    ("psf", {"path": "psf.fits"}, "psf: lacks 'kind', by which it is read"),
    ("results", "/tmp/elsewhere", "must be a relative path inside the project"),
    ("results", "../up", "must be a relative path inside the project"),
    ("splits", {"train": 0.8, "validation": 0.2}, "must be below 1, to leave a test set"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD, ids=lambda part: str(part)[:40])
def test_bad_value_is_refused_in_one_sentence(values, key, value, message):
    with pytest.raises(ConfigError) as caught:
        validate(changed(values, key, value), "test.yaml")
    text = str(caught.value)
    assert message in text
    assert text.startswith("test.yaml: ")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("a: [1", "not valid YAML"),
        ("- a\n- b\n", "must contain keys and values"),
        ("preset: demo\n", "variants: is required; give the task's own file first"),
    ],
)
def test_broken_file_is_refused(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1]\npreset: demo\nseeds: [2]\n", "'seeds' stands twice, in lines 1 and 3; join"),
        (
            "method_settings:\n  baseline: {epochs: 2}\n  baseline: {epochs: 3}\n",
            "'baseline' stands twice, in lines 2 and 3; join",
        ),
        ("image: {band: a, band: b}\n", "'band' stands twice, in lines 1 and 1; join"),
        ('{"seeds": [1],\n "seeds": [2]}\n', "'seeds' stands twice, in lines 1 and 2; join"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path, text, message):
    path = tmp_path / "twice.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_merged_key_may_be_given_again(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\n")
    assert read_yaml(path)["d"] == {"b": 3, "c": 2}


@pytest.mark.parametrize("spelling", ["results/a", "results/a/", "./results//a", "results/./a"])
def test_results_have_one_spelling(values, spelling):
    assert validate(changed(values, "results", spelling), "x").results == "results/a"


@pytest.mark.parametrize("spelling", [".", "./"])
def test_results_are_not_the_project_itself(values, spelling):
    with pytest.raises(ConfigError, match="results: must name a folder of its own"):
        validate(changed(values, "results", spelling), "x")


def test_changes_on_the_command_line_are_read_as_snakemake_reads_them(repository):
    entries = ["method_settings={baseline: {epochs: 3, self_training: null}}", "seeds=[4, 5]"]
    changes = assigned(entries)
    experiment = load(repository / "config/config.yaml", changes=changes)
    assert experiment.method_settings["baseline"].epochs == 3
    assert experiment.seeds == [4, 5]
    # What Snakemake leaves of nested values is text.
    text = {
        "method_settings": {"baseline": {"epochs": "3", "self_training": "null"}},
        "seeds": ["4", "5"],
    }
    assert typed(text) == changes


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("a.b.c=3", "give nested keys as YAML, --config 'a={b: {c: 3}}'"),
        ("epochs", "KEY=VALUE"),
        ("a=[1", "not valid YAML"),
    ],
)
def test_wrong_changes_are_refused(entry, message):
    with pytest.raises(ConfigError) as caught:
        assigned([entry])
    assert message in str(caught.value)


def test_what_0_1_0_called_otherwise_is_named(values):
    old = changed(changed(values, "task", "structure"), "structure", {"seeds": [1]})
    old = changed(old, "method_settings.baseline.network", {"architecture": "r1_baseline"})
    with pytest.raises(ConfigError) as error:
        validate(old, "old.yaml")
    assert str(error.value) == (
        "old.yaml: written for galadapt 0.1.0: 'task: structure' is called 'task: galaxies' now, "
        "'method_settings.baseline.network.architecture: r1_baseline' is called "
        "'architecture: candels_baseline' now, 'structure' is called 'galaxies' now; rename it"
    )


def test_shipped_configurations_are_valid(repository):
    folder = repository / "config"
    presets = sorted((folder / "presets").glob("*.yaml"))
    assert {"smoke", "paper", "cosmos", "stars_smoke"} <= {path.stem for path in presets}
    for preset in presets:
        task = preset.stem.split("_")[0]
        base = folder / (f"{task}.yaml" if task in TASKS else "config.yaml")
        checked = load(base, preset)
        assert checked.preset == preset.stem.removeprefix(f"{task}_" if base.stem == task else "")
        assert checked.results == f"results/presets/{preset.stem}"
        cells = sum(
            len(checked.method_settings[method].variants or checked.variants)
            for method in checked.methods
        )
        assert len(list(checked.runs())) == cells * len(checked.seeds)


def test_text_numbers_are_numbers(values):
    # YAML 1.1 reads 1e-4 as text; the model must not pass it on as text.
    checked = validate(changed(values, "method_settings.baseline.learning_rate", "1e-4"), "test")
    assert checked.method_settings["baseline"].learning_rate == 1e-4


def test_generated_documents_are_current(repository):
    folder = repository / "config"
    assert (folder / "README.md").read_text() == document.readme(), "run `make document`"
    assert (folder / "schema.json").read_text() == document.schema(), "run `make document`"
    reference = repository / "docs" / "reference"
    assert (reference / "flags.md").read_text() == pages.flags_page(), "run `make document`"
    assert (reference / "columns.md").read_text() == pages.columns_page(), "run `make document`"


def test_every_key_is_described():
    undescribed = [
        f"{section.__name__}.{name}"
        for section in document.sections(experiments().values())
        for name, field in section.model_fields.items()
        if not field.description and name not in ("kind", "step", "distribution", "low", "high")
    ]
    assert undescribed == []


TRAIN = {"task": "galaxies", "variant": "asinh", "method": "transfer", "seed": "1"}


@pytest.mark.parametrize(
    ("key", "value", "affected"),
    [
        ("method_settings.transfer.learning_rate", 1e-5, {"train"}),
        ("method_settings.baseline.learning_rate", 1e-5, set()),
        ("method_settings.transfer.description", "other words", set()),
        ("variant_chains.asinh", [{"step": "rebin", "factor": 2}], {"variant"}),
        ("variant_chains.div255", [{"step": "divide", "by": 2}], set()),
        ("simulation.priors.magnitude.high", 24.0, {"simulate"}),
        ("psf.blur", 0.04, {"simulate", "survey"}),
        ("selection.max_flag", 1, {"select"}),
        ("evaluation.magnitude_bins", [18, 23], {"evaluate"}),
        ("compute.threads_per_training", 4, set()),
        ("tracking.experiment", "other", set()),
    ],
)
def test_a_change_reaches_only_the_stages_that_read_it(values, key, value, affected):
    wildcards = {
        "simulate": {"source": "simulated", "shard": "0"},
        "variant": {"variant": "asinh", "source": "survey"},
        "train": TRAIN,
        "evaluate": TRAIN,
    }
    # Tracking and the report print the whole experiment, so any of these changes reaches them.
    names = {"simulate", "survey", "select", "extract", "variant", "train", "evaluate"}

    def all_settings(plain: dict) -> dict:
        checked = validate(plain, "test")
        return {name: jobs.settings(checked, name, **wildcards.get(name, {})) for name in names}

    before, after = all_settings(values), all_settings(changed(values, key, value))
    assert {name for name in names if before[name] != after[name]} == affected


def test_settings_are_plain_json(values):
    settings = jobs.settings(validate(values, "test"), "train", **TRAIN)
    assert json.loads(json.dumps(settings)) == settings


@pytest.fixture
def estimators(values):
    """The experiment with two estimators, one of which reads another method's features."""

    def of(features_from: str, **changes: object) -> dict:
        settings = {
            "ridge": {"learner": {"kind": "sklearn"}},
            "reader": {"learner": {"kind": "sklearn", "features_from": features_from}},
        }
        methods = [*values["methods"], *settings]
        return merge(values, {"methods": methods, "method_settings": settings, **changes})

    return of


def test_an_estimator_reads_what_a_network_has_learned(estimators):
    checked = validate(estimators("baseline"), "test")
    assert checked.method_settings["reader"].builds_on == "baseline"
    assert checked.source("reader", "simulated") == checked.source("baseline", "simulated")


@pytest.mark.parametrize(
    ("features_from", "changes", "message"),
    [
        ("nope", {}, "reader.learner.features_from: 'nope' must be one of methods"),
        ("ridge", {}, "reader.learner.features_from: 'ridge' is no network; name one that is"),
        ("reader", {}, "reader.learner.features_from: goes in a circle"),
        ("baseline", {"predictor": {"method": "ridge"}}, "predictor.method: 'ridge' is no network"),
        (
            "baseline",
            {
                "method_settings": {
                    "ridge": {"learner": {"kind": "sklearn", "estimator": "logistic"}}
                }
            },
            "learner.estimator: logistic does not predict numbers",
        ),
    ],
)
def test_an_estimator_that_does_not_fit_is_refused(estimators, features_from, changes, message):
    with pytest.raises(ConfigError, match=message):
        validate(merge(estimators(features_from), changes), "test")


BLURRED = {"blurred": {"n_train": 500, "psf": {"kind": "gaussian"}, "realism": {"sky": {}}}}


@pytest.fixture
def one_simulation(values) -> dict:
    given = changed(values, "simulations", {})
    return changed(given, "methods", [m for m in values["methods"] if m != "baseline_realistic"])


@pytest.fixture
def two_simulations(one_simulation) -> dict:
    given = changed(one_simulation, "simulations", BLURRED)
    return changed(given, "method_settings.baseline.simulation", "blurred")


def test_a_further_simulation_is_the_first_but_for_what_it_changes(two_simulations):
    checked = validate(two_simulations, "test")
    blurred = checked.simulations["blurred"]
    assert (blurred.n_train, blurred.n_test) == (500, checked.simulation.n_test)
    assert blurred.priors == checked.simulation.priors
    assert blurred.realism.sky is not None
    assert checked.simulation.realism.sky is None
    # A validated configuration is valid, and the same.
    assert validate(checked.model_dump(mode="json"), "test") == checked


def test_a_method_learns_from_the_simulation_of_its_start(two_simulations):
    checked = validate(two_simulations, "test")
    assert checked.source("transfer", "simulated") == "simulated_blurred"
    assert checked.source("dann_supervised", "simulated") == "simulated"
    assert checked.source("transfer", "survey") == "survey"
    assert checked.sources == ("simulated", "survey", "simulated_blurred")


def test_methods_that_adapt_a_network_are_known(two_simulations, one_simulation):
    def settings(config):
        return validate(config, "test").model_dump(mode="json")["method_settings"]

    usual = settings(one_simulation)
    assert not adapts("baseline", usual)
    assert adapts("transfer", usual)
    assert adapts("dann_supervised", usual)
    usual["forest"] = usual["transfer"] | {"learner": {"kind": "sklearn"}}
    assert not adapts("forest", usual)
    # Of another simulation than the experiment's.
    assert adapts("baseline", settings(two_simulations))


def test_without_noise_nothing_scales_by_it(one_simulation):
    with pytest.raises(ConfigError, match=r"needs noise to scale by, but simulation\.noise"):
        validate(changed(one_simulation, "simulation.noise.depth", "none"), "test")


def test_a_simulation_that_no_method_uses_is_not_made(one_simulation):
    given = changed(one_simulation, "simulations", BLURRED)
    assert validate(given, "test").sources == ("simulated", "survey")


def test_jobs_see_the_simulation_of_their_method(two_simulations):
    checked = validate(two_simulations, "test")
    seen = {
        source: jobs.settings(checked, "simulate", source=source, shard="0")["config"]
        for source in ("simulated", "simulated_blurred")
    }
    assert seen["simulated"]["simulation"]["n_train"] == checked.simulation.n_train
    assert seen["simulated_blurred"]["simulation"]["n_train"] == 500
    assert seen["simulated_blurred"]["psf"]["kind"] == "gaussian"
    packaged = jobs.settings(checked, "package", **{**TRAIN, "seed": None})
    assert packaged["config"]["psf"]["kind"] == "gaussian"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("method_settings.transfer.simulation", "deep", "'deep' must be one of simulations"),
        ("simulations.blurred.n_trian", 5, "n_trian: unknown key; did you mean 'n_train'?"),
        ("simulations.blurred", 5, "simulations.blurred: input should be a valid dictionary"),
        ("simulations.blurred.shards", 999, "simulations.blurred.shards: 999 for 700 stamps"),
        (
            "simulations.blurred.priors",
            {"magnitude": {"distribution": "uniform", "low": 20, "high": 22}},
            "selection.magnitude [18, 23] must lie inside the simulated range [20, 22] "
            "(simulations.blurred.priors.magnitude)",
        ),
        (
            "simulations.blurred.noise",
            {"depth": "none"},
            "without a unit; switch them off or the noise on",
        ),
    ],
)
def test_bad_further_simulations_are_refused(two_simulations, key, value, message):
    given = changed(two_simulations, "simulations.blurred.n_validation", 100)
    given = changed(given, "simulations.blurred.n_test", 100)
    with pytest.raises(ConfigError) as error:
        validate(changed(given, key, value), "test")
    assert message in str(error.value)
