"""Stages that every task shares: from stamps to the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from galadapt.answers.registry import KINDS, Kind
from galadapt.config.base import DOMAINS
from galadapt.config.features import FeatureSpace
from galadapt.config.machine import NON_RESULT_SECTIONS, Tracking
from galadapt.config.training import Compute
from galadapt.core.stage import (
    Codes,
    Input,
    Inputs,
    Key,
    Output,
    Outputs,
    Provenance,
    Whole,
    Wildcard,
    stage,
)
from galadapt.learners import registry as learners
from galadapt.stamps.preprocess import Step
from galadapt.tasks.registry import TASKS, method_of_task
from galadapt.tasks.registry import task as task_named

#: What `galadapt.pipeline.jobs.settings` adds to an experiment.
_ADDED = ("quantities", "survey_kind", "learned_from", "adapted")

#: All that an experiment is, as plain values.
Configuration = Annotated[dict[str, Any], Whole(without=(*NON_RESULT_SECTIONS, *_ADDED, "measure"))]


def _kind(config: Any, wildcards: Mapping[str, Any]) -> Kind:
    """Return the kind of answer of a job's method."""
    return KINDS[config.method_settings[wildcards["method"]].answer_kind]


def _learned(config: Any, wildcards: Mapping[str, Any]) -> set[str]:
    """Name the modules that are loaded to train or run a job's method."""
    return learners.modules(config.method_settings, wildcards["method"])


def _given(simulated: Path | None, survey: Path | None) -> dict[str, Path]:
    """Return the stamp sets that a job has, by domain."""
    both = {"simulated": simulated, "survey": survey}
    return {name: path for name, path in both.items() if path is not None}


def _words(config: Any) -> str:
    """Name the module of the words of the task's report."""
    return f"{TASKS[config.task]}.words"


# --- runs -----------------------------------------------------------------------------------


@stage
def variant(
    steps: Annotated[list[Step], Key("variant_chains.{variant}")],
    stamp_set: Inputs,
    stamps: Output,
    provenance: Provenance,
) -> None:
    """One variant of one domain's stamps."""
    from galadapt.stamps.preprocess import make_variant

    make_variant(paths=stamp_set, steps=steps, output=stamps, provenance=provenance)


@stage(loads=_learned)
def train(
    task: Annotated[str, Wildcard],
    variant: Annotated[str, Wildcard],
    method: Annotated[str, Wildcard],
    seed: Annotated[int, Wildcard],
    settings: Annotated[dict[str, Any], Key("method_settings.{method}")],
    quantities: list[dict[str, Any]],
    simulated: Input | None,
    survey: Input | None,
    start: Input | None,
    teachers: Inputs,
    run: Output,
    checkpoint: Output,
    compute: Compute,
    provenance: Provenance,
) -> None:
    """One learner, trained on the domains its method names."""
    from galadapt.core.quantity import Quantity
    from galadapt.learners.job import Job
    from galadapt.learners.train import train as train_learner

    train_learner(
        Job(
            task=task,
            variant=variant,
            method_name=method,
            method=method_of_task(task, settings),
            quantities=tuple(map(Quantity.from_dict, quantities)),
            seed=seed,
            given=_given(simulated, survey),
            output=run.parent,
            checkpoint=checkpoint,
            start=start,
            teachers=tuple(teachers),
            compute=compute,
            provenance=provenance,
        )
    )


@stage(loads=_learned)
def predict(
    run: Input,
    simulated: Input | None,
    survey: Input | None,
    predictions: Output,
    embeddings: Output,
    record: Output,
    compute: Compute,
) -> None:
    """One learner's predictions and embeddings of both domains."""
    from galadapt.learners.predict import predict as predict_stamps

    predict_stamps(run, _given(simulated, survey), predictions, embeddings, record, compute)


@stage(loads=lambda config, wildcards: [_kind(config, wildcards).judging])
def evaluate(
    evaluation: dict[str, Any],
    run: Input,
    predictions: Input,
    embeddings: Input,
    history: Input,
    metrics: Output,
    breakdown: Output,
    more: Outputs,
) -> None:
    """Metrics of one run."""
    from galadapt.evaluation.evaluate import evaluate_run

    evaluate_run(predictions, embeddings, run, history, evaluation, metrics, breakdown, more)


@stage(loads=lambda config, wildcards: [_kind(config, wildcards).figures])
def run_figures(
    evaluation: dict[str, Any],
    run: Input,
    predictions: Input,
    history: Input,
    simulated: Input | None,
    survey: Input | None,
    figures: Outputs,
) -> None:
    """Figures of one run."""
    from galadapt.answers.figures import run_figures as draw

    stamps = _given(simulated, survey)
    draw(run, predictions, history, figures, stamps, evaluation)


# --- tables ---------------------------------------------------------------------------------


@stage(loads=lambda config, _: [KINDS[config.answer_kind].judging, _words(config)])
def comparison(
    task: str,
    learned_from: dict[str, str],
    adapted: list[str],
    metrics: Inputs,
    breakdowns: Inputs,
    comparison: Output,
    breakdown: Output,
    text: Output,
    markdown: Output,
    html: Output,
    summary: Outputs,
    plot: Output,
) -> None:
    """The tables over seeds, with published figures beside."""
    from galadapt.evaluation.compare import compare

    words = task_named(task).words
    compare(
        metrics=metrics,
        breakdowns=breakdowns,
        published=words.published,
        work=words.work,
        comparison=comparison,
        breakdown=breakdown,
        text=text,
        markdown=markdown,
        html=html,
        metrics_folder=summary[0].parent,
        plot=plot,
        simulations=learned_from,
        adapted=adapted,
    )


@stage(loads=lambda config, _: [KINDS[config.answer_kind].judging])
def choice(survey_kind: str, runs: Inputs, choice: Output, html: Output) -> None:
    """Which method a user without survey labels would choose, and the regret of it."""
    from galadapt.evaluation.choice import choose

    choose(runs=runs, survey_kind=survey_kind, choice=choice, html=html)


@stage
def track(
    configuration: Configuration,
    tracking: Tracking,
    runs: Inputs,
    summary: Inputs,
    manifest: Output,
    provenance: Provenance,
) -> None:
    """Finished run folders, mirrored to MLflow."""
    from galadapt.pipeline import store
    from galadapt.pipeline.mlflow import track as mirror

    store.require(tracking)
    mirror(
        runs,
        tracking.uri,
        tracking.experiment,
        manifest,
        configuration,
        provenance["code"],
        summary,
        tracking.project or store.project_of(manifest.parent.parent),
    )


@stage(loads=lambda config, _: [_words(config)])
def report(
    configuration: Configuration,
    codes: Codes,
    runs: Inputs,
    comparison: Input,
    data_figures: Inputs,
    comparison_figures: Inputs,
    variant_figures: Inputs,
    tables: Inputs,
    package: Input | None,
    package_figures: Inputs,
    choice: Input | None,
    fits: Input | None,
    fits_figure: Inputs,
    ablation: Inputs,
    features: Inputs,
    survey: Inputs,
    report: Output,
) -> None:
    """The report: one self-contained page."""
    from galadapt.report.build import build_report
    from galadapt.report.captions import pictures

    build_report(
        output=report,
        configuration=configuration,
        words=task_named(configuration["task"]).words,
        comparison_html=comparison,
        pictures=pictures(
            [*comparison_figures, *ablation, *fits_figure],
            [*variant_figures, *features],
            data_figures,
            package_figures,
        ),
        tables=tables,
        runs=runs,
        code=codes,
        survey=survey,
        package=package,
        choice_html=choice,
        fits_html=fits,
    )


# --- figures --------------------------------------------------------------------------------


@stage
def data_figures(simulated: Inputs, survey: Inputs, further: Inputs, figures: Outputs) -> None:
    """What went in: stamps of all domains and what is known of them."""
    from galadapt.report.data import data_figures as draw

    given = {"simulated": simulated, "survey": survey}
    others: dict[str, list[Path]] = {}
    for path in further:
        # The shards of one simulation share a folder.
        others.setdefault(path.parent.name.replace("_", " "), []).append(path)
    draw({name: given[name] for name in DOMAINS if given[name]}, others, figures)


@stage(loads=lambda config, _: [KINDS[config.answer_kind].figures])
def variant_figures(run: Input, predictions: Inputs, figures: Outputs) -> None:
    """One variant's methods side by side."""
    from galadapt.answers.figures import variant_figures as draw
    from galadapt.answers.registry import record_of
    from galadapt.core.files import read_json

    record = record_of(read_json(run), run)
    # A run folder is <variant>/<method>/seed<seed>.
    draw(record, {path.parent.parent.name: path for path in predictions}, figures)


@stage(loads=lambda config, _: [KINDS[config.answer_kind].judging])
def feature_space(
    feature_space: FeatureSpace,
    runs: Inputs,
    predictions: Inputs,
    embeddings: Inputs,
    simulated: Input | None,
    survey: Input | None,
    table: Output,
    uncovered: Output,
    figures: Outputs,
) -> None:
    """The features of one variant's methods: do simulated and survey stamps overlap?"""
    from galadapt.report.feature_space import feature_space as measure

    stamps = _given(simulated, survey)
    measure(runs, predictions, embeddings, stamps, feature_space, table, uncovered, figures)


@stage
def optimizers(
    method_settings: dict[str, Any],
    runs: Inputs,
    histories: Inputs,
    table: Output,
    figure: Output,
) -> None:
    """Methods that differ in nothing but their optimiser, compared."""
    from galadapt.report.optimizers import compare_optimizers

    compare_optimizers(runs, histories, method_settings, table, figure)


@stage(loads=lambda config, _: [KINDS[config.answer_kind].figures, _words(config)])
def comparison_figures(
    task: str, run: Input, comparison: Input, breakdown: Input, figures: Outputs
) -> None:
    """The comparison tables, drawn."""
    from galadapt.answers.figures import Compared
    from galadapt.answers.figures import comparison_figures as draw
    from galadapt.answers.published import read_published
    from galadapt.answers.registry import record_of
    from galadapt.core.files import read_json

    words = task_named(task).words
    published = read_published(words.published)
    record = record_of(read_json(run), run)
    draw(Compared(record, comparison, breakdown, published, words.work), figures)
