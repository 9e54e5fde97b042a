"""Votes: the tree, its distributions, losses, metrics and figures."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln
from scipy.stats import betabinom, dirichlet_multinomial

from galadapt.answers.best import Cell
from galadapt.answers.view import Place
from galadapt.answers.votes import judging
from galadapt.answers.votes.answer import Votes
from galadapt.answers.votes.distribution import (
    LARGEST,
    log_likelihood,
    model_variance,
    moments,
    ranks,
    temperatures,
)
from galadapt.answers.votes.heads import SHIFT, alphas, conditional_of_tree
from galadapt.answers.votes.metrics import Predicted
from galadapt.answers.votes.settings import VoteEvaluation
from galadapt.answers.votes.tree import Question, Tree, read_campaign
from galadapt.core.errors import DataError
from galadapt.learners.matching import matching_weights
from galadapt.stamps.format import StampSet, write_stamps

CAMPAIGNS = sorted(
    Path(path.name).stem for path in files("galadapt.answers.votes").joinpath("trees").iterdir()
)

#: Is it smooth? If not, has it arms? And is anything odd?
TREE = Tree(
    (
        Question("smooth", ("yes", "no", "artifact")),
        Question("arms", ("yes", "no"), "smooth_no"),
        Question("odd", ("yes", "no")),
    )
)


def drawn(count: int, alpha: np.ndarray, seed: int = 1, volunteers: int = 40) -> np.ndarray:
    """Votes of volunteers who walk the tree, (count, 7); alpha of each galaxy (count, 7)."""
    rng = np.random.default_rng(seed)
    votes = np.zeros((count, 7))
    for row in range(count):
        for part, parent in zip(TREE.parts, TREE.parents, strict=True):
            asked = volunteers if parent is None else int(votes[row, parent])
            votes[row, part] = rng.multinomial(asked, rng.dirichlet(alpha[row, part]))
    return votes


# --- the tree ----------------------------------------------------------------------------------


def test_shares_follow_the_tree() -> None:
    votes = np.array([[10.0, 30, 0, 12, 18, 4, 36], [40, 0, 0, 0, 0, 20, 20]])
    shares = TREE.shares(TREE.conditional(votes))
    np.testing.assert_allclose(shares[0], [0.25, 0.75, 0, 0.3, 0.45, 0.1, 0.9])
    # Nobody was asked about arms: their shares are 0, not unknown.
    np.testing.assert_allclose(shares[1], [1, 0, 0, 0, 0, 0.5, 0.5])
    assert TREE.violation(shares) < 1e-12
    assert TREE.violation(shares + np.eye(7)[3] * 0.2) == pytest.approx(0.2)
    assert TREE.violation(shares - np.eye(7)[2] * 0.3) == pytest.approx(0.3)
    np.testing.assert_array_equal(TREE.reached(shares), [[1, 0.75, 1], [1, 0, 1]])
    assert TREE.depth == 2 and Tree.read("gz2").depth == 4
    unknown = TREE.shares(np.array([[np.nan, np.nan, np.nan, 0.5, 0.5, 0.5, 0.5]]))
    np.testing.assert_array_equal(unknown, [[np.nan] * 5 + [0.5, 0.5]])


def test_any_values_become_consistent() -> None:
    values = np.random.default_rng(1).normal(size=(50, 7))
    values[0] = -1
    found = TREE.consistent(values)
    np.testing.assert_allclose(TREE.asked(found), 1)
    assert found.min() >= 0
    np.testing.assert_allclose(found[0], [1 / 3, 1 / 3, 1 / 3, 0.5, 0.5, 0.5, 0.5])
    assert np.isnan(TREE.consistent(np.full((1, 7), np.nan))).all()


def test_trees_are_checked_and_kept() -> None:
    assert Tree.from_list(json.loads(json.dumps(TREE.to_list()))) == TREE
    with pytest.raises(DataError, match="'smooth_no' is no answer of an earlier question"):
        Tree((TREE.questions[1], TREE.questions[0]))
    with pytest.raises(DataError, match="each answer only once"):
        Tree((TREE.questions[0], TREE.questions[0]))
    with pytest.raises(DataError, match="the tree of questions is incomplete"):
        Tree.from_list([{"name": "smooth"}])


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_campaigns(campaign: str) -> None:
    tree = Tree.read(campaign)
    table = read_campaign(campaign)
    assert list(table["question"] + "_" + table["answer"]) == list(tree.names)
    for column in ("counts", "share"):
        named = table.loc[table[column] != "", column]
        assert not named.duplicated().any()


def test_tree_of_the_challenge() -> None:
    tree = Tree.read("gz2")
    assert [len(one.answers) for one in tree.questions] == [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6]
    assert list(read_campaign("gz2")["share"])[-1] == "Class11.6"


@pytest.mark.realdata
def test_published_shares_follow_the_tree(galadapt_data: Path) -> None:
    tree, table = Tree.read("gz2"), pd.read_csv(galadapt_data / "galaxy_zoo/gz2_votes/votes.csv")
    shares = table[list(read_campaign("gz2")["share"])].to_numpy()
    assert len(shares) == 513 and tree.violation(shares) < 1e-5
    np.testing.assert_allclose(tree.shares(tree.conditional(45 * shares)), shares, atol=1e-5)


# --- distributions -----------------------------------------------------------------------------


def test_likelihood_is_scipys() -> None:
    alpha = np.array([[2.0, 5, 0.5, 1.5, 3, 4, 0.2]])
    votes = np.array([[10.0, 28, 2, 12, 16, 4, 36]])
    found = log_likelihood(votes, alpha, TREE)[0]
    for number, part in enumerate(TREE.parts):
        own = dirichlet_multinomial(alpha[0, part], int(votes[0, part].sum()))
        assert found[number] == pytest.approx(own.logpmf(votes[0, part].astype(int)))
    unasked = np.where(np.arange(7) // 2 == 1, 0.0, votes)
    unasked[:, 3:5] = 0
    assert log_likelihood(unasked, alpha, TREE)[0, 1] == 0


def test_ranks_are_scipys() -> None:
    votes, asked = np.array([0, 3, 12, 40]), np.array([12, 12, 12, 40])
    a, b = np.array([0.3, 2.0, 5.0, 30.0]), np.array([4.0, 3.0, 0.4, 2.0])
    below, at = ranks(votes, asked, a, b).T
    np.testing.assert_allclose(below, betabinom.cdf(votes - 1, asked, a, b), atol=1e-10)
    np.testing.assert_allclose(at, betabinom.pmf(votes, asked, a, b), atol=1e-10)


def test_moments_of_samples() -> None:
    rng = np.random.default_rng(3)
    samples = rng.gamma(2.0, size=(1, 6, 7)) * 3 + 0.5
    found = moments(samples, TREE)
    part = slice(0, 3)
    # Shares drawn from the mixture of the samples' Dirichlet distributions.
    shares = np.concatenate([rng.dirichlet(one[part], 200_000) for one in samples[0]])
    total = found[0, part].sum()
    mean = found[0, part] / total
    np.testing.assert_allclose(mean, shares.mean(axis=0), atol=2e-3)
    assert (mean * (1 - mean)).sum() / (total + 1) == pytest.approx(shares.var(axis=0).sum(), 0.02)
    # One sample is itself; equal samples without a distribution of their own stay certain.
    np.testing.assert_allclose(moments(samples[:, :1], TREE), samples[:, 0])
    same = np.repeat(alphas(np.zeros((1, 1, 7)), "tree", TREE), 4, axis=1)
    assert TREE.asked(moments(same, TREE)) == pytest.approx(LARGEST, rel=0.01)


def test_model_variance_is_that_of_drawn_shares() -> None:
    alpha = np.array([[6.0, 9, 1, 3, 5, 1, 9]])
    rng = np.random.default_rng(5)
    conditional = np.concatenate([rng.dirichlet(alpha[0, p], 200_000) for p in TREE.parts], axis=1)
    expected = TREE.shares(conditional).var(axis=0)
    np.testing.assert_allclose(model_variance(alpha, TREE)[0], expected, rtol=0.02)


def test_temperatures_undo_what_was_scaled() -> None:
    alpha = np.random.default_rng(2).gamma(2.0, size=(1500, 7)) * 4 + 0.5
    votes = drawn(1500, alpha)
    scale = np.array([5.0, 0.3, 1.0])
    found = temperatures(votes, alpha * scale[TREE.question_of], TREE)
    np.testing.assert_allclose(found * scale, 1, rtol=0.15)
    assert (temperatures(np.zeros((2, 7)), alpha[:2], TREE) == 1).all()


def test_few_votes_set_no_extreme_temperature() -> None:
    """A question of few votes takes about the factor of all, and one of none exactly that."""
    rng = np.random.default_rng(17)
    alpha = rng.gamma(2.0, size=(300, 7)) * 4 + 0.5
    votes = drawn(300, alpha)
    # As many of both answers as predicted: any concentration, however large, fits.
    votes[:, 3:5], alpha[:, 3:5] = 0, 2
    votes[:3, 3:5] = 1
    found = temperatures(votes, 500 * alpha, TREE)
    assert 1 / 1000 < found[1] < 1 / 100
    votes[:, 3:5] = 0
    found = temperatures(votes, 500 * alpha, TREE)
    assert found[1] == pytest.approx(np.sqrt(found[0] * found[2]), rel=0.2)


# --- what is learned ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(4)
    alpha = rng.gamma(2.0, size=(60, 7)) * 4 + 0.5
    votes = drawn(60, alpha)
    votes[5] = np.nan
    table = pd.DataFrame({"id": np.arange(60), "split": np.resize(["train", "test"], 60)})
    table = table.assign(**{f"votes_{n}": votes[:, k] for k, n in enumerate(TREE.names)})
    chances = [0.6, 0.2, 0.2, 0.5, 0.5, 0.1, 0.9]
    table = table.assign(**{f"true_{n}": p for n, p in zip(TREE.names, chances, strict=True)})
    path = tmp_path_factory.mktemp("votes") / "stamps.h5"
    images = rng.uniform(0, 255, size=(60, 8, 8, 3))
    metadata = {"pixel_scale": None, "zero_point": None, "band": "rgb", "domain": "simulated"}
    metadata |= {"channels": ["red", "green", "blue"], "tree": TREE.to_list()}
    write_stamps(path, [images], table, metadata, unit="8-bit")
    return path


@pytest.mark.parametrize("head", ["independent", "tree", "dirichlet"])
def test_equal_populations_match(head: str) -> None:
    """Of two samples of one population, none of the 37 raw outputs makes a difference."""
    answer, rng = Votes(Tree.read("gz2"), head), np.random.default_rng(16)
    common = 0.5 * rng.normal(size=(6, 37))
    raw = rng.normal(size=(2800, 6)) @ common + 0.3 * rng.normal(size=(2800, 37))
    found = answer.population(raw)
    assert found.shape == (2800, 6)
    weights = matching_weights(found[:2000], found[2000:])
    assert weights.sum() ** 2 / (weights**2).sum() > 0.9 * 2000


@pytest.mark.parametrize("head", ["independent", "tree", "dirichlet"])
def test_every_head_predicts_consistent_shares(stamps: Path, head: str) -> None:
    answer = Votes(TREE, head)
    raw = np.random.default_rng(6).normal(size=(60, 7))
    with StampSet(stamps) as opened:
        columns = pd.DataFrame(answer.columns(raw, opened, np.arange(60)))
        sampled = answer.columns(np.stack([raw, raw + 0.3], axis=1), opened, np.arange(60))
    shares = columns[[f"{name}_share" for name in TREE.names]].to_numpy()
    assert TREE.violation(shares) < 1e-12
    assert np.isnan(columns["arms_yes_votes"][5]) and columns["smooth_yes_votes"].sum() > 0
    np.testing.assert_allclose(columns["arms_yes_true"], 0.2 * 0.5)
    shares = np.stack([sampled[f"{name}_share"] for name in TREE.names], axis=1)
    assert TREE.violation(shares) < 1e-12
    assert Votes.of_record(json.loads(json.dumps(answer.record()))) == answer


def test_the_mean_over_orientations_is_that_of_shares() -> None:
    """However large the outputs of one orientation are, it counts as one."""
    answer = Votes(TREE, "tree")
    raw = np.array([[[-8.0, 1, 1, 5, 5, 2, 0]], [[2, 2, 2, 90, -3, 0, 7]]], np.float32)
    shares = [conditional_of_tree(one, TREE) for one in raw]
    mean = np.mean([answer.averageable(one) for one in raw], axis=0)
    np.testing.assert_allclose(
        conditional_of_tree(mean, TREE), np.mean(shares, axis=0), rtol=1e-5, atol=1e-6
    )
    for head in ("independent", "dirichlet"):
        np.testing.assert_array_equal(Votes(TREE, head).averageable(raw[0]), raw[0])


def test_a_question_without_positive_outputs_still_learns() -> None:
    """All outputs of the last question are far below 0; training must bring them back."""
    import keras

    votes = np.array([[10.0, 30, 0, 12, 18, 4, 36]])
    answer = Votes(TREE, "tree")
    targets = answer.transform(votes).astype(np.float32)
    outputs = np.array([[0.3, 0.2, 0.1, 0.4, 0.5, -9.0, -9.5]], np.float32)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(7)])
    model.layers[0].set_weights([np.zeros((1, 7), np.float32), outputs[0]])
    model.compile(keras.optimizers.Adam(0.1), answer.loss("sum_over_batch_size"))
    model.fit(np.ones((64, 1)), np.repeat(targets, 64, axis=0), batch_size=1, epochs=8, verbose=0)
    learned = answer.tree.shares(
        conditional_of_tree(model.predict(np.ones((1, 1)), verbose=0), TREE)
    )
    np.testing.assert_allclose(learned[0, 5:], targets[0, 5:], atol=0.05)


def test_labels_targets_and_their_inverse(stamps: Path) -> None:
    with StampSet(stamps) as opened:
        votes = Votes(TREE).labels(opened, np.arange(60))
        other = Votes(Tree((Question("bar", ("yes", "no")),)))
        with pytest.raises(DataError, match="lacks the columns 'votes_bar_yes'"):
            other.labels(opened, np.arange(2))
    shares = Votes(TREE).transform(votes)
    assert TREE.violation(np.delete(shares, 5, axis=0)) < 1e-12
    np.testing.assert_array_equal(Votes(TREE, "dirichlet").transform(votes), votes)
    # Outputs that stand for certain shares become the votes of 40 volunteers with these shares.
    known = shares[:5]
    back = Votes(TREE).transform(
        Votes(TREE).inverse(np.nan_to_num(TREE.conditional(votes[:5])) - SHIFT)
    )
    np.testing.assert_allclose(back, known, atol=1e-12)
    for head in ("independent", "tree", "dirichlet"):
        targets = Votes(TREE, head).transform(votes[:5])
        again = Votes(TREE, head).transform(Votes(TREE, head).labels_of(targets))
        np.testing.assert_allclose(again, targets, atol=1e-12)
    with pytest.raises(DataError, match="another tree of questions"):
        Votes(TREE).fitted(votes, Votes(TREE, "dirichlet").record())


@pytest.mark.parametrize("head", ["independent", "tree", "dirichlet"])
def test_losses_agree_with_the_validation(head: str) -> None:
    """Keras' loss and numpy's, on the same outputs; the likelihood differs by a constant."""
    rng = np.random.default_rng(7)
    votes = drawn(30, rng.gamma(2.0, size=(30, 7)) * 4 + 0.5)
    answer = Votes(TREE, head)
    targets = answer.transform(votes)
    outputs = rng.normal(size=(2, 30, 7)).astype(np.float32)
    if head == "independent":
        # Outputs are compared as they are; those that follow the tree are the same shares.
        outputs = TREE.shares(TREE.consistent(outputs)).astype(np.float32)
    loss = answer.loss("sum_over_batch_size")
    ours = [answer.validation_loss(one, targets, np.ones(30)) for one in outputs]
    keras = [float(loss(targets.astype(np.float32), one)) for one in outputs]
    if head == "dirichlet":
        assert keras[0] - keras[1] == pytest.approx(ours[0] - ours[1], rel=1e-4)
    else:
        assert keras == pytest.approx(ours, rel=1e-4)


def test_log_gamma() -> None:
    from galadapt.answers.votes.loss import log_gamma

    x = np.geomspace(2e-3, 2e3, 200).astype(np.float32)
    found = np.asarray(log_gamma(x))
    np.testing.assert_allclose(found, gammaln(x), rtol=2e-6, atol=2e-5)


# --- metrics -----------------------------------------------------------------------------------


def test_predictions_that_hold_are_calibrated() -> None:
    alpha = np.random.default_rng(8).gamma(2.0, size=(2500, 7)) * 4 + 0.5
    votes = drawn(2500, alpha, seed=9)
    right, sure = Predicted(TREE, votes, alpha), Predicted(TREE, votes, 20 * alpha)
    found = right.metrics(10)
    assert found["coverage68"] == pytest.approx(0.68, abs=0.02)
    assert found["coverage90"] == pytest.approx(0.90, abs=0.015)
    assert found["ece"] < 0.015 and found["violation"] < 1e-12
    # Too certain: the same shares, but less likely votes outside their intervals.
    other = sure.metrics(10)
    assert other["rmse"] == pytest.approx(found["rmse"])
    assert other["coverage68"] < 0.6 and other["nll"] > found["nll"]
    # Both have the votes of a calibrated method, up to what is drawn.
    assert found["ece"] == pytest.approx(found["ece_calibrated"], abs=0.004)
    # The predicted error, unknown and of few volunteers together, is the true one.
    total = np.hypot(found["model_error"], found["volunteer_error"])
    assert total == pytest.approx(found["rmse"], rel=0.05)


def test_answers_do_not_make_up_for_each_other() -> None:
    """The same share predicted of three answers, and another one given for each."""
    alpha = np.ones((400, 7))
    votes = drawn(400, 1e6 * np.array([[0.7, 0.2, 0.1, 0.7, 0.3, 0.4, 0.6]]).repeat(400, axis=0))
    found = Predicted(TREE, votes, alpha)
    expected = (abs(0.7 - 1 / 3) + abs(0.2 - 1 / 3) + abs(0.1 - 1 / 3)) / 3
    assert found.ece(10, TREE.parts[0]) == pytest.approx(expected, abs=0.02)
    assert found.ece(10, TREE.parts[2]) == pytest.approx(0.1, abs=0.02)
    assert found.ece(10) > 0.1


def test_answers_that_nobody_doubts_do_not_hide_wrong_intervals() -> None:
    """The intervals of one question are far too narrow; at another all votes are foreseen."""
    rng = np.random.default_rng(16)
    chances = np.tile([0.5, 0.3, 0.2, 0.5, 0.5, 1e-6, 1 - 1e-6], (2000, 1))
    chances[:, :3] = rng.dirichlet([3.0, 2.0, 1.0], 2000)
    votes = drawn(2000, 1e6 * chances)
    assert votes[:, 5].sum() < 5
    found = Predicted(TREE, votes, 1e3 * np.tile(chances.mean(axis=0), (2000, 1)))
    narrow = found.coverage(TREE.parts[0])["coverage68"]
    assert narrow < 0.4
    assert np.isnan(found.coverage(TREE.parts[2])["coverage68"])


def test_few_votes_leave_an_error_of_calibration() -> None:
    """Of votes drawn from the predictions the ECE is that of a calibrated method, not 0."""
    rng = np.random.default_rng(17)
    alpha = rng.gamma(2.0, size=(60, 7)) * 4 + 0.5
    found = [Predicted(TREE, drawn(60, alpha, seed), alpha).metrics(10) for seed in range(20)]
    mean = np.mean([one["ece"] for one in found])
    assert mean == pytest.approx(np.mean([one["ece_calibrated"] for one in found]), rel=0.05)
    assert mean > 0.02


def test_floor_is_the_error_of_true_shares() -> None:
    rng = np.random.default_rng(10)
    alpha = 1e6 * (rng.gamma(2.0, size=(3000, 7)) + 0.2)
    found = Predicted(TREE, drawn(3000, alpha), alpha).metrics(10)
    assert found["rmse"] == pytest.approx(found["floor"], rel=0.03)


def test_floor_of_simulations_is_measured() -> None:
    """Volunteers who differ from galaxy to galaxy scatter more than independent ones."""
    rng = np.random.default_rng(15)
    chances = TREE.conditional(rng.gamma(2.0, size=(1500, 7)) + 0.2)
    votes = drawn(1500, 10 * chances)
    table = table_of(votes, 10 * chances, "simulated", "test")
    true = TREE.shares(chances)
    table = table.assign(**{f"{name}_true": true[:, k] for k, name in enumerate(TREE.names)})
    settings = VoteEvaluation(bootstrap=50, calibrate=False)
    found = judging.evaluate(table, Votes(TREE, "dirichlet").record(), settings, 1)
    values = {row["metric"]: row["value"] for row in found.rows}
    assert values["floor"] == pytest.approx(values["rmse"])


def test_each_first_question_has_volunteers_of_its_own() -> None:
    """Four of forty were asked whether anything is odd: so few leave a larger scatter."""
    rng = np.random.default_rng(13)
    chances = TREE.conditional(rng.gamma(2.0, size=(3000, 7)) + 0.2)
    votes = drawn(3000, 1e6 * chances)
    votes[:, 5] = rng.binomial(4, chances[:, 5])
    votes[:, 6] = 4 - votes[:, 5]
    np.testing.assert_array_equal(TREE.first_of, [0, 0, 0, 0, 0, 2, 2])
    found = Predicted(TREE, votes, 1e6 * chances).metrics(10)
    assert found["rmse"] == pytest.approx(found["floor"], rel=0.03)
    assert found["rmse"] == pytest.approx(found["volunteer_error"], rel=0.03)


def test_a_question_that_was_not_asked_makes_no_galaxy_less_certain() -> None:
    votes = np.array([[30.0, 10, 0, 5, 5, 0, 0], [30, 10, 0, 5, 5, 0, 40]])
    alpha = np.array([[300.0, 100, 1, 50, 50, 1, 1], [30, 10, 1, 5, 5, 1, 200]])
    one = Predicted(TREE, votes, alpha)
    assert one.sparsification()[-1, 1] == pytest.approx(np.sqrt(one.squares[0]))
    # Nor does it raise the mean error, which is over the shares that are compared.
    few = Predicted(TREE, votes[:1], alpha[:1])
    sampling = few.variances[1][0, :5].mean()
    assert few.metrics(10)["volunteer_error"] == pytest.approx(np.sqrt(sampling))
    assert np.isnan(few.part_metrics(2, 10)["rmse"])


def test_errors_of_observed_shares_are_theirs() -> None:
    """The variances of model and volunteers add up to that of shares drawn from both."""
    alpha = np.full((20_000, 7), 1.0)
    for volunteers in (1, 3, 40):
        one = Predicted(TREE, drawn(20_000, alpha, 14, volunteers), alpha)
        variance = np.add(*one.variances)[0]
        np.testing.assert_allclose(variance, one.given.var(axis=0), rtol=0.05)


def test_sparsification_needs_the_right_order() -> None:
    rng = np.random.default_rng(11)
    alpha = (rng.gamma(2.0, size=(1000, 7)) + 0.3) * rng.choice([0.3, 100.0], size=(1000, 1))
    votes = drawn(1000, alpha)
    good = Predicted(TREE, votes, alpha)
    shuffled = Predicted(TREE, votes, TREE.conditional(alpha) * rng.permutation(alpha[:, :1] + 1))
    assert good.ause() < 0.7 * shuffled.ause()
    curve = good.sparsification()
    assert (curve[:, 1] >= curve[:, 2] - 1e-12).all()
    assert curve[0, 1] == pytest.approx(curve[0, 2])


def table_of(votes: np.ndarray, alpha: np.ndarray, domain: str, split: str) -> pd.DataFrame:
    columns = {"id": np.arange(len(votes)), "domain": domain, "split": split}
    for k, name in enumerate(TREE.names):
        columns |= {f"{name}_votes": votes[:, k], f"{name}_alpha": alpha[:, k]}
    return pd.DataFrame(columns)


def test_evaluation_calibrates_on_votes_it_may_see() -> None:
    """Survey votes set temperatures of a method that learned from some, of no other."""
    rng = np.random.default_rng(12)
    alpha = rng.gamma(2.0, size=(400, 7)) * 4 + 0.5
    tables = []
    for domain, scale in (("simulated", 1.0), ("survey", 0.2)):
        for split, seed in (("validation", 1), ("test", 2)):
            votes = drawn(400, alpha * scale, seed)
            tables.append(table_of(votes, alpha, domain, split))
    table = pd.concat(tables, ignore_index=True)
    table.loc[400 + 3, "smooth_yes_alpha"] = np.nan
    record = Votes(TREE, "dirichlet").record()
    blind = judging.evaluate(table, record, VoteEvaluation(bootstrap=50), 1)
    seeing = judging.evaluate(
        table, {**record, "survey_labels": True}, VoteEvaluation(bootstrap=50), 1
    )

    def value(judgement: judging.Judgement, domain: str, metric: str) -> float:
        rows = [
            row["value"]
            for row in judgement.rows
            if (row["domain"], row["split"], row["metric"]) == (domain, "test", metric)
        ]
        return float(rows[0])

    assert value(blind, "simulated", "coverage68") == pytest.approx(0.68, abs=0.04)
    assert value(blind, "survey", "coverage68") < 0.55
    assert value(seeing, "survey", "coverage68") == pytest.approx(0.68, abs=0.04)
    for metric in ("rmse", "nll"):
        low, high = (value(blind, "survey", f"{metric}_{end}") for end in ("low", "high"))
        assert low < value(blind, "survey", metric) < high
    assert blind.notes == ["1 simulated test objects have no finite prediction"]
    assert value(blind, "simulated", "failed") == 1 and value(blind, "survey", "failed") == 0
    assert list(blind.files["temperatures.csv"]["question"]) == ["smooth", "arms", "odd"]
    parts = pd.DataFrame(blind.breakdown)
    assert set(parts["level"]) == {"smooth", "arms", "odd"}


def test_an_answer_that_is_never_predicted_is_told() -> None:
    alpha = np.full((200, 7), 2.0)
    votes = drawn(200, alpha)
    dead = alpha.copy()
    dead[:, TREE.names.index("arms_no")] = 1e-6
    assert Predicted(TREE, votes, alpha).metrics(10)["never"] == 0
    assert Predicted(TREE, votes, dead).metrics(10)["never"] == 1
    place = Place("full", "tree", "simulated", "votes")
    view = SimpleNamespace(cell=lambda _, column: Cell({"never": 1.0}.get(column.metric, 0.0)))
    sentences = list(judging.verdicts(view, [place]))
    assert any(one.startswith("tree predicts hardly any vote for 1 of") for one in sentences)


def test_galaxies_without_votes_are_left_out() -> None:
    alpha = np.full((20, 7), 2.0)
    votes = drawn(20, alpha)
    votes[:4] = np.nan
    table = table_of(votes, alpha, "survey", "test")
    found = judging.evaluate(table, Votes(TREE).record(), VoteEvaluation(bootstrap=50), 1)
    counted = [row["value"] for row in found.rows if row["metric"] == "n"]
    assert counted == [16] and not found.notes


# --- figures -----------------------------------------------------------------------------------


def test_figures_of_a_run_are_drawn_and_repeat(stamps: Path, tmp_path: Path) -> None:
    """Every figure shows the test galaxies; other predictions give another picture."""
    from galadapt.answers.figures import run_figures
    from galadapt.answers.registry import KINDS

    answer = Votes(TREE, "dirichlet")
    run = {"task": "votes", "variant": "v", "method": "m", "seed": 1, "answer": answer.record()}
    (tmp_path / "run.json").write_text(json.dumps(run))
    (tmp_path / "history.csv").write_text(
        "epoch,loss,val_simulated,val_monitored,seconds\n1,2,2,2,1\n2,1,1.5,1.5,1\n"
    )
    names = KINDS["votes"].run_figures

    def draw(folder: str, seed: int, **settings: object) -> dict[str, bytes]:
        raw = np.random.default_rng(seed).normal(size=(60, 7))
        with StampSet(stamps) as opened:
            table = pd.DataFrame(answer.columns(raw, opened, np.arange(60)))
            table.insert(0, "id", opened.table["id"])
            table.insert(1, "domain", "simulated")
            table.insert(2, "split", opened.table["split"])
        table.to_parquet(tmp_path / "predictions.parquet")
        (tmp_path / folder).mkdir()
        outputs = [tmp_path / folder / f"{name}.png" for name in names]
        inputs = (tmp_path / name for name in ("run.json", "predictions.parquet", "history.csv"))
        run_figures(*inputs, outputs, {"simulated": stamps}, settings)
        return {path.stem: path.read_bytes() for path in outputs}

    first = draw("first", 1)
    assert first == draw("again", 1) and set(first) == set(names)
    # They are of the same evaluation as the tables.
    bins = draw("bins", 1, bins=4)
    assert {name for name in names if first[name] != bins[name]} == {"reliability"}
    other = draw("other", 2)
    assert {name for name in names if first[name] != other[name]} == set(names) - {"learning"}
    with pytest.raises(DataError, match="no test row with votes"):
        table = pd.read_parquet(tmp_path / "predictions.parquet").assign(split="train")
        table.to_parquet(tmp_path / "predictions.parquet")
        inputs = (tmp_path / name for name in ("run.json", "predictions.parquet", "history.csv"))
        run_figures(*inputs, [tmp_path / "galaxies.png"], {"simulated": stamps})
