from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from class_runs import fabricate_class_run
from metric_rows import change, value

from galadapt.answers.votes.answer import Votes
from galadapt.answers.votes.tree import Question, Tree
from galadapt.core.errors import DataError
from galadapt.core.files import read_json
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.candidates import CRITERIA
from galadapt.evaluation.choice import choose
from galadapt.evaluation.evaluate import evaluate_run
from galadapt.evaluation.labels import label_free

FREE = {
    **{"survey_labels": False, "starts_from": None, "alignment": None},
    **{"domains": ["simulated"], "simulation": None},
}
SETTINGS = {
    "baseline": FREE,
    "transfer": {**FREE, "survey_labels": True, "starts_from": "baseline"},
    "dann_supervised": {**FREE, "starts_from": "baseline"},
    "dann_semisupervised": {**FREE, "starts_from": "transfer"},
}
PREDICTED = [f"{name}_predicted" for name in PARAMETERS]
TRUE = [f"{name}_true" for name in PARAMETERS]


def edit(path, change):
    content = read_json(path)
    change(content)
    path.write_text(json.dumps(content))


def set_r2(run, value):
    def new(row):
        here = (row["domain"], row["split"], row["metric"]) == ("survey", "test", "r2")
        return value if here else row["value"]

    change(run, new)


def set_auc(run, auc):
    change(run, lambda row: auc if row["metric"] == "separability_auc" else row["value"])


def change_predictions(run, change):
    table = pd.read_parquet(run / "predictions.parquet")
    change(table)
    table.to_parquet(run / "predictions.parquet", index=False)


@pytest.fixture
def make(make_run):
    def one(method="baseline", seed=1, variant="asinh", **more):
        run = make_run(variant, method, seed, **more)
        settings = SETTINGS[method]
        edit(run / "run.json", lambda content: content["settings"].update(settings))
        return run

    return one


@pytest.fixture
def chosen(tmp_path):
    def of(runs, figures=(*PARAMETERS, "r2")):
        paths = tmp_path / "choice.csv", tmp_path / "choice.html"
        choose(runs, "mock", *paths)
        table = pd.read_csv(paths[0])
        *items, metric = figures
        wanted = ["criterion", "variant", "method", "simulation", "value", "chosen", *items]
        wanted += [f"{metric}_mean", f"{metric}_std", "regret", "rank_correlation"]
        assert list(table.columns) == wanted
        return table, paths[1].read_text()

    return of


def values(table, criterion):
    return table[table["criterion"] == criterion].set_index(["variant", "method"])["value"]


def test_only_what_has_seen_no_survey_label_is_a_candidate(make, chosen):
    runs = [make(method, seed) for method in SETTINGS for seed in (1, 2)]
    table, page = chosen(runs)
    # dann_semisupervised sees none itself, but starts from transfer.
    assert set(table["method"]) == {"baseline", "dann_supervised"}
    assert len(table) == 2 * len(CRITERIA)
    assert "with 2 candidates" in page


def test_features_of_a_network_that_saw_labels_are_no_candidate(make, chosen, tmp_path):
    learner = {"kind": "sklearn", "features_from": "transfer"}
    on_features = tmp_path / "svm"
    shutil.copytree(make(), on_features)
    for file in ("run.json", "metrics.json"):
        edit(on_features / file, lambda content: content.update(method="svm"))
    edit(on_features / "run.json", lambda content: content["settings"].update(learner=learner))
    table, _ = chosen([make(), make("transfer"), on_features])
    assert "svm" not in set(table["method"])


def test_criteria_are_what_they_say(make, chosen):
    runs = [make(seed=seed) for seed in (1, 2, 3)]
    table, _ = chosen([*runs, make("dann_supervised")])
    predictions = [pd.read_parquet(run / "predictions.parquet") for run in runs]
    tables = [one[one["split"] == "validation"] for one in predictions]
    simulated = [one[one["domain"] == "simulated"] for one in tables]
    width = simulated[0][TRUE].std(ddof=0).to_numpy()
    errors = [((one[PREDICTED].to_numpy() - one[TRUE].to_numpy()) / width) for one in simulated]
    expected = np.mean([(error**2).mean() for error in errors])
    assert values(table, "validation")["asinh", "baseline"] == pytest.approx(expected)
    survey = np.stack([one.loc[one["domain"] == "survey", PREDICTED].to_numpy() for one in tables])
    expected = (survey.var(axis=0, ddof=1) / width**2).mean()
    assert values(table, "seed_disagreement")["asinh", "baseline"] == pytest.approx(expected)
    auc = [value(run, "both", "run", "separability_auc") for run in runs]
    assert values(table, "domain_auc")["asinh", "baseline"] == pytest.approx(np.mean(auc))


def test_the_recommended_criterion_is_not_fooled_by_a_collapsed_network(make, chosen):
    runs = [make(method, seed) for method in ("baseline", "dann_supervised") for seed in (1, 2)]

    def collapse(table):
        for name in PARAMETERS:
            table[f"{name}_predicted"] = table.loc[
                table["domain"] == "simulated", f"{name}_true"
            ].mean()

    for run in runs[2:]:
        change_predictions(run, collapse)
    table, page = chosen(runs)
    rows = table[table["chosen"]].set_index("criterion")
    assert rows.loc["seed_disagreement", "method"] == "dann_supervised"
    assert rows.loc["seed_disagreement", "value"] == 0
    assert rows.loc["expected_error", "method"] == "baseline"
    assert "no survey labels: expected_error" in page
    here = table.set_index(["criterion", "method"])["value"]
    assert here["expected_error", "baseline"] == pytest.approx(
        here["weighted_validation", "baseline"] + here["seed_disagreement", "baseline"]
    )


def test_weighing_follows_the_survey_population(make, chosen):
    runs = [make(), make("dann_supervised")]

    def shift(table):
        survey = table["domain"] == "survey"
        # A bright survey; only the faint simulated galaxies are measured badly.
        table.loc[survey, "magnitude_predicted"] = np.linspace(18, 19, survey.sum())
        faint = ~survey & (table["magnitude_true"] > 21)
        table.loc[faint, "sersic_index_predicted"] += 3.0

    for run in runs:
        change_predictions(run, shift)
    table, _ = chosen(runs)
    ratio = values(table, "weighted_validation") / values(table, "validation")
    assert (ratio < 0.5).all()


def test_survey_truth_touches_no_criterion(make, chosen):
    runs = [make(method, seed) for method in ("baseline", "dann_supervised") for seed in (1, 2)]
    before, _ = chosen(runs)

    def spoil(table):
        table.loc[table["domain"] == "survey", TRUE] = 1.0

    for run in runs:
        change_predictions(run, spoil)
        set_r2(run, -5.0)
    after, _ = chosen(runs)
    pd.testing.assert_frame_equal(
        before[["criterion", "method", "value", "chosen"]],
        after[["criterion", "method", "value", "chosen"]],
    )
    assert (after["r2_mean"] == -5.0).all()


def test_regret_is_what_the_choice_gives_up(make, chosen):
    runs = [make("baseline", 1), make("baseline", 2)]
    runs += [make("dann_supervised", 1), make("dann_supervised", 2)]
    for run, r2 in zip(runs, (0.5, 0.7, 0.9, 0.9), strict=True):
        set_r2(run, r2)
    table, page = chosen(runs)
    rows = table[table["chosen"]].set_index("criterion")
    assert len(rows) == len(CRITERIA)
    # baseline predicts simulated galaxies best, dann_supervised the survey's.
    assert rows.loc["validation", "method"] == "baseline"
    assert rows.loc["validation", "regret"] == pytest.approx(0.3)
    assert rows.loc["validation", "r2_std"] == pytest.approx(0.2 / np.sqrt(2))
    assert rows.loc["domain_auc", "method"] == "dann_supervised"
    assert rows.loc["domain_auc", "regret"] == 0
    assert "On this survey (mock), with 2 candidates" in page
    assert "oracle" in page


def test_rank_correlation_says_whether_a_criterion_orders_as_labels_would(make, chosen):
    runs = [make(variant=name) for name in ("asinh", "div255", "log")]
    found, _ = chosen(runs)
    order = values(found, "validation").sort_values().index
    for run in runs:
        place = list(order).index((run.parent.parent.name, "baseline"))
        set_r2(run, 0.9 - 0.1 * place)
    table, _ = chosen(runs)
    here = table[table["criterion"] == "validation"]
    assert here["rank_correlation"].to_numpy() == pytest.approx(1.0)


def test_faint_galaxies_left_out_flatter_nobody(make, chosen):
    runs = [make(), make("dann_supervised")]

    def spoil(table):
        faint = table["magnitude_true"] > 21
        table.loc[faint, "magnitude_predicted"] += 4.0

    for run in runs:
        change_predictions(run, spoil)
    before = values(chosen(runs)[0], "validation")
    path = runs[1] / "predictions.parquet"
    table = pd.read_parquet(path)
    table[table["magnitude_true"] <= 21].to_parquet(path, index=False)
    after = values(chosen(runs)[0], "validation")
    assert (after < 0.2 * before).all()


def test_a_failed_prediction_is_an_error_and_no_end(make, chosen):
    runs = [make(), make(seed=2), make("dann_supervised"), make("dann_supervised", 2)]

    def fail(table):
        table[PREDICTED] = np.nan

    change_predictions(runs[0], fail)
    change_predictions(runs[1], fail)
    table, _ = chosen(runs)
    assert values(table, "validation")["asinh", "baseline"] == 1.0
    assert values(table, "seed_disagreement")["asinh", "baseline"] == 1.0
    assert np.isnan(values(table, "weighted_validation")["asinh", "baseline"])
    rows = table[table["chosen"]].set_index("criterion")
    assert rows.loc["validation", "method"] == "dann_supervised"
    assert rows.loc["weighted_validation", "method"] == "dann_supervised"


def test_one_seed_has_no_disagreement_and_the_next_criterion_is_recommended(make, chosen):
    table, page = chosen([make(), make("dann_supervised")])
    assert values(table, "seed_disagreement").isna().all()
    assert "no survey labels: weighted_validation" in page
    assert "expected_error needs two training seeds" in page


def test_a_survey_without_labels_still_has_a_choice(make, chosen):
    runs = [make(method, seed) for method in ("baseline", "dann_supervised") for seed in (1, 2)]
    for run in runs:
        change(run, lambda row: ... if row["domain"] == "survey" else row["value"])
    table, page = chosen(runs)
    assert table["regret"].isna().all()
    assert table["chosen"].sum() == len(CRITERIA)
    assert "no labels to test" in page
    assert "oracle" not in page


def test_an_auc_below_one_half_is_chance(make, chosen):
    runs = [make(variant="asinh"), make(variant="div255")]
    for run, auc in zip(runs, (0.5, 0.4), strict=True):
        set_auc(run, auc)
    table, _ = chosen(runs)
    rows = table[table["chosen"]].set_index("criterion")
    assert rows.loc["domain_auc", "variant"] == "asinh"


def test_a_single_candidate_is_no_choice(make, chosen):
    _, page = chosen([make()])
    assert "there is no choice" in page


def test_repeating_gives_the_same_bytes(make, chosen, tmp_path):
    runs = [make(method, seed) for method in ("baseline", "dann_supervised") for seed in (1, 2)]
    chosen(runs)
    first = [(tmp_path / name).read_bytes() for name in ("choice.csv", "choice.html")]
    chosen(runs)
    assert [(tmp_path / n).read_bytes() for n in ("choice.csv", "choice.html")] == first


def test_bad_inputs_are_one_sentence_and_write_nothing(make, chosen, tmp_path):
    with pytest.raises(DataError, match="no run to choose from; name at least one"):
        chosen([])
    with pytest.raises(DataError, match="builds on 'baseline', of which no run is given"):
        chosen([make("dann_supervised")])
    run = make()
    edit(run / "run.json", lambda content: content["settings"].pop("survey_labels"))
    with pytest.raises(
        DataError, match="lacks the setting 'survey_labels'; rerun training and evaluation"
    ):
        chosen([run])
    run = make()
    edit(run / "metrics.json", lambda content: content.pop("rows"))
    with pytest.raises(DataError, match="lacks the key 'rows'; rerun the evaluation"):
        chosen([run])
    run = make()
    pd.DataFrame({"id": [1]}).to_parquet(run / "predictions.parquet")
    with pytest.raises(DataError, match="lacks the column"):
        chosen([run])
    assert not (tmp_path / "choice.csv").exists()


def test_the_fixed_mask_vector_lets_labels_through():
    masked = {**FREE, "alignment": {"kind": "dann", "masking": "fixed_vector"}}
    honest = {**FREE, "alignment": {"kind": "dann", "masking": "per_example"}}
    child = {**FREE, "starts_from": "masked"}
    settings = {"masked": masked, "honest": honest, "child": child}
    assert {name: label_free(name, settings) for name in settings} == {
        "masked": False,
        "honest": True,
        "child": False,
    }


def test_a_plainer_simulation_does_not_win_by_being_plain(make, chosen):
    """Errors on simulated galaxies are no argument for the simulation they are measured on."""
    plain, real = [make(seed=seed) for seed in (1, 2)], [make(seed=3), make(seed=4)]
    aligned = [make("dann_supervised", seed) for seed in (3, 4)]
    for run, (method, simulation, start, auc) in zip(
        [*plain, *real, *aligned],
        [("plain", "plain", None, 0.95)] * 2
        + [("real", "real", None, 0.7)] * 2
        + [("aligned", None, "plain", 0.55)] * 2,
        strict=True,
    ):
        settings = {"simulation": simulation, "starts_from": start}
        if start:
            settings["domains"] = ["simulated", "survey"]
        edit(run / "run.json", lambda content, name=method: content.update(method=name))
        edit(run / "run.json", lambda content, new=settings: content["settings"].update(new))
        set_auc(run, auc)
    for run in real:
        change_predictions(
            run, lambda table: table.update({name: table[name] * 1.02 for name in PREDICTED})
        )
    table, page = chosen([*plain, *real, *aligned])
    assert values(table, "validation").idxmin()[1] != "real"
    rows = table[table["chosen"]].set_index("criterion")
    assert rows.loc["validation", "method"] == "real"
    assert rows.loc["validation", "simulation"] == "real"
    # That the aligned network's features look like the survey's says nothing for its simulation.
    assert rows.loc["domain_auc", "method"] == "aligned"
    assert rows.loc["domain_auc", "simulation"] == "plain"
    assert "real 0.700, plain 0.950" in page


def test_simulations_need_not_share_their_galaxies(make, chosen):
    """A larger simulation numbers its validation galaxies otherwise; its criteria stay the same."""
    plain, real = [make(seed=seed) for seed in (1, 2)], [make(seed=3), make(seed=4)]
    for run in real:
        edit(run / "run.json", lambda content: content.update(method="real"))
        edit(run / "run.json", lambda content: content["settings"].update(simulation="real"))
        set_auc(run, 0.6)
    before, _ = chosen([*plain, *real])

    def renumber(table):
        table.loc[table["domain"] == "simulated", "id"] += 1_000_000

    for run in real:
        change_predictions(run, renumber)
    after, page = chosen([*plain, *real])
    assert values(after, "expected_error").notna().all()
    pd.testing.assert_frame_equal(before, after)
    assert after[after["chosen"]].set_index("criterion").loc["validation", "method"] == "real"
    assert "No criterion could be measured" not in page


def test_one_simulation_needs_no_choice(make, chosen):
    _, page = chosen([make(), make("dann_supervised")])
    assert "The simulation is chosen first" not in page


# --- other kinds of answer ---------------------------------------------------------------------


def test_classes_are_chosen_by_their_probabilities(chosen, tmp_path):
    """The squared error of probabilities orders networks as balanced accuracy does."""
    runs = []
    for method in ("network_a", "network_b_weighted"):
        run = tmp_path / "none" / method / "seed1"
        domains = ("simulated", "survey")
        runs.append(fabricate_class_run(run, method=method, domains=domains))
        edit(run / "run.json", lambda content: content.update(settings=FREE))
    table, page = chosen(runs, ["circular/comet/donut", "balanced_accuracy"])
    rows = table[table["chosen"]].set_index("criterion")
    criteria = ["validation", "weighted_validation"]
    assert set(rows.loc[criteria, "method"]) == {"network_b_weighted"}
    assert rows.loc["validation", "regret"] == 0
    assert table["regret"].max() > 0.1
    assert "regret of 0.000 in balanced accuracy" in page
    true = pd.read_parquet(runs[1] / "predictions.parquet")
    true = true[(true["split"] == "validation") & (true["domain"] == "simulated")]
    names = ["circular", "comet", "donut"]
    labels = np.eye(3)[[names.index(one) for one in true["label_true"]]]
    one = pd.read_parquet(runs[1] / "predictions.parquet").set_index(["domain", "id"])
    found = one.loc["simulated"].loc[true["id"], [f"p_{name}" for name in names]].to_numpy()
    expected = ((found - labels) ** 2).mean() / labels.var(axis=0).mean()
    assert rows.loc["validation", "value"] == pytest.approx(expected)


def test_votes_are_chosen_by_their_shares(chosen, tmp_path):
    """A method whose shares scatter is not chosen, and the best RMSE is the smallest."""
    tree = Tree((Question("smooth", ("yes", "no")), Question("arms", ("one", "two"), "smooth_no")))
    runs = []
    for method, scatter in (("good", 0.1), ("poor", 1.5)):
        for seed in (1, 2):
            run = tmp_path / "none" / method / f"seed{seed}"
            run.mkdir(parents=True)
            tables = [_votes(tree, domain, scatter, seed) for domain in ("simulated", "survey")]
            table = pd.concat(tables, ignore_index=True)
            table.to_parquet(run / "predictions.parquet")
            features = table[["id", "domain", "split"]].assign(f0=np.arange(len(table)) % 7)
            features.to_parquet(run / "embeddings.parquet")
            pd.DataFrame({"epoch": [1], "seconds": [1.0]}).to_csv(run / "history.csv", index=False)
            identity = {"task": "votes", "variant": "none", "method": method, "seed": seed}
            record = Votes(tree, "dirichlet").record()
            (run / "run.json").write_text(
                json.dumps({**identity, "answer": record, "settings": FREE})
            )
            files = ("predictions.parquet", "embeddings.parquet", "run.json", "history.csv")
            made = ("metrics.json", "breakdown.csv")
            evaluate_run(
                *(run / name for name in files),
                {"bootstrap": 50},
                *(run / name for name in made),
                [run / "temperatures.csv"],
            )
            runs.append(run)
    table, page = chosen(runs, ["votes", "rmse"])
    rows = table[table["chosen"]].set_index("criterion")
    assert (
        rows.loc[["validation", "seed_disagreement", "expected_error"], "method"] == "good"
    ).all()
    assert rows.loc["expected_error", "regret"] == 0
    poor = table[table["method"] == "poor"]
    best = table[table["method"] == "good"]["rmse_mean"].iloc[0]
    assert poor["regret"].iloc[0] == pytest.approx(poor["rmse_mean"].iloc[0] - best)
    assert poor["regret"].iloc[0] > 0.05
    assert "in RMSE" in page


def _votes(tree, domain, scatter, seed):
    """Predictions whose logarithms scatter, for objects that the domain alone determines."""
    rng = np.random.default_rng(len(domain))
    split = np.repeat(["validation", "test"], 40)
    alpha = rng.gamma(2.0, size=(80, 4)) * 10 + 1
    votes = np.zeros((80, 4))
    votes[:, 0] = rng.binomial(40, alpha[:, 0] / alpha[:, :2].sum(axis=1))
    votes[:, 1] = 40 - votes[:, 0]
    votes[:, 2] = rng.binomial(votes[:, 1].astype(int), alpha[:, 2] / alpha[:, 2:].sum(axis=1))
    votes[:, 3] = votes[:, 1] - votes[:, 2]
    noise = np.random.default_rng(seed).normal(scale=scatter, size=alpha.shape)
    found = pd.DataFrame({"id": np.arange(80), "domain": domain, "split": split})
    for k, name in enumerate(tree.names):
        found[f"{name}_votes"] = votes[:, k]
        found[f"{name}_alpha"] = (alpha * np.exp(noise))[:, k]
    return found
