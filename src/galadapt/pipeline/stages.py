"""Stages that every task shares: from stamps to the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from galadapt.config.base import DOMAINS
from galadapt.config.classes import ClassEvaluation
from galadapt.config.machine import NON_RESULT_SECTIONS, Tracking
from galadapt.config.training import Compute
from galadapt.core.quantity import PARAMETERS
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
from galadapt.stamps.preprocess import Step
from galadapt.tasks.galaxies.settings import Evaluation
from galadapt.tasks.registry import method_of_task

#: All that an experiment is, as plain values.
Configuration = Annotated[dict[str, Any], Whole(without=NON_RESULT_SECTIONS)]

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


@stage
def train(
    task: Annotated[str, Wildcard],
    variant: Annotated[str, Wildcard],
    method: Annotated[str, Wildcard],
    seed: Annotated[int, Wildcard],
    settings: Annotated[dict[str, Any], Key("method_settings.{method}")],
    simulated: Input | None,
    survey: Input | None,
    start: Inputs,
    teachers: Inputs,
    run: Output,
    checkpoint: Output,
    compute: Compute,
    provenance: Provenance,
) -> None:
    """One network, trained on the domains its method names."""
    from galadapt.learners.train import train as train_network

    train_network(
        task=task,
        variant=variant,
        method_name=method,
        method=method_of_task(task, settings),
        parameters=PARAMETERS,
        seed=seed,
        simulated=simulated,
        survey=survey,
        output=run.parent,
        checkpoint=checkpoint,
        start_model=start[0] if start else None,
        compute=compute,
        provenance=provenance,
        teachers=[path for path in teachers if path.name == "model.keras"],
    )


@stage
def predict(
    run: Input,
    model: Input,
    simulated: Input | None,
    survey: Input | None,
    predictions: Output,
    embeddings: Output,
    record: Output,
    compute: Compute,
) -> None:
    """One network's predictions and embeddings of both domains."""
    from galadapt.learners.predict import predict as predict_stamps

    stamps = {"simulated": simulated, "survey": survey}
    predict_stamps(
        run=run,
        model=model,
        domains={name: path for name in DOMAINS if (path := stamps[name])},
        predictions=predictions,
        embeddings=embeddings,
        record=record,
        compute=compute,
    )


@stage
def evaluate(
    evaluation: Evaluation,
    run: Input,
    predictions: Input,
    embeddings: Input,
    metrics: Output,
    detail: Output,
) -> None:
    """Metrics of one run."""
    from galadapt.evaluation.evaluate import evaluate_run

    evaluate_run(
        predictions=predictions,
        embeddings=embeddings,
        run=run,
        evaluation=evaluation,
        metrics=metrics,
        by_magnitude=detail,
    )


@stage
def evaluate_classes(
    evaluation: ClassEvaluation,
    run: Input,
    predictions: Input,
    embeddings: Input,
    history: Input,
    metrics: Output,
    detail: Output,
    answers: Output,
) -> None:
    """Metrics of one run that classifies."""
    from galadapt.evaluation.classes import evaluate_run_classes

    evaluate_run_classes(
        predictions=predictions,
        embeddings=embeddings,
        run=run,
        history=history,
        evaluation=evaluation,
        metrics=metrics,
        by_class=detail,
        answers=answers,
    )


@stage
def run_figures(predictions: Input, history: Input, metrics: Input, figures: Outputs) -> None:
    """Figures of one run."""
    from galadapt.answers.numbers.figures import run_figures as draw

    draw(predictions=predictions, history=history, metrics=metrics, outputs=figures)


@stage
def run_figures_classes(
    predictions: Input, history: Input, metrics: Input, figures: Outputs
) -> None:
    """Figures of one run that classifies."""
    from galadapt.answers.classes.figures import class_run_figures

    class_run_figures(predictions=predictions, history=history, metrics=metrics, outputs=figures)


# --- tables ---------------------------------------------------------------------------------


@stage
def comparison(
    metrics: Inputs,
    details: Inputs,
    comparison: Output,
    detail: Output,
    markdown: Output,
    html: Output,
    summary: Outputs,
    plot: Output,
) -> None:
    """The tables over seeds, with R1's published figures beside."""
    from galadapt.evaluation.compare import compare

    compare(
        metrics=metrics,
        bins=details,
        metrics_folder=summary[0].parent,
        by_magnitude=detail,
        comparison=comparison,
        markdown=markdown,
        html=html,
        plot=plot,
    )


@stage
def comparison_classes(
    task: str,
    metrics: Inputs,
    details: Inputs,
    comparison: Output,
    detail: Output,
    markdown: Output,
    html: Output,
    summary: Outputs,
    plot: Output,
) -> None:
    """The tables over seeds of a task that classifies, with R2's and R3's published figures."""
    from galadapt.evaluation.compare_classes import compare_classes

    compare_classes(
        metrics=metrics,
        by_class=details,
        task=task,
        metrics_folder=summary[0].parent,
        comparison=comparison,
        detail=detail,
        markdown=markdown,
        html=html,
        plot=plot,
    )


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
    from galadapt.pipeline.mlflow import track as mirror

    mirror(
        runs=runs,
        uri=tracking.uri,
        experiment=tracking.experiment,
        manifest=manifest,
        configuration=configuration,
        version=provenance["code"],
        summary=summary,
    )


@stage
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
    report: Output,
) -> None:
    """The report: one self-contained page."""
    from galadapt.report.build import build_report
    from galadapt.report.captions import captioned, pictures

    by_variant = {
        name: [path for path in variant_figures if path.parent.name == name]
        for name in configuration["variants"]
    }
    build_report(
        output=report,
        configuration=configuration,
        comparison_html=comparison,
        pictures=pictures([*comparison_figures, *ablation, *fits_figure], by_variant, data_figures),
        tables=tables,
        runs=runs,
        code=codes,
        package=package,
        choice_html=choice,
        fits_html=fits,
        package_pictures=captioned(package_figures),
    )


# --- figures --------------------------------------------------------------------------------


@stage
def data_figures(simulated: Inputs, survey: Input, further: Inputs, figures: Outputs) -> None:
    """What went in: parameters and stamps of both domains."""
    from galadapt.report.data import contact_sheet, parameter_histograms

    parameters, stamps = figures
    others: dict[str, list[Path]] = {}
    for path in further:
        # The shards of one simulation share a folder.
        others.setdefault(path.parent.name.replace("_", " "), []).append(path)
    parameter_histograms(simulated, survey, parameters)
    contact_sheet(simulated, survey, stamps, others)


@stage
def data_figures_classes(simulated: Inputs, survey: Inputs, figures: Outputs) -> None:
    """What went in: classes and stamps of all domains."""
    from galadapt.report.class_data import class_data_figures

    given = {"simulated": simulated, "survey": survey}
    class_data_figures({name: given[name] for name in DOMAINS if given[name]}, figures)


@stage
def variant_figures(
    predictions: Inputs, embeddings: Inputs, survey_scatter: Output, feature_maps: Output
) -> None:
    """One variant's methods side by side."""
    from galadapt.report.comparison import feature_maps as draw_features
    from galadapt.report.comparison import survey_scatter as draw_scatter

    # A run folder is <variant>/<method>/seed<seed>.
    draw_scatter({path.parent.parent.name: path for path in predictions}, survey_scatter)
    draw_features({path.parent.parent.name: path for path in embeddings}, feature_maps)


@stage
def comparison_figures(comparison: Input, detail: Input, figures: Outputs) -> None:
    """The comparison table, drawn."""
    from galadapt.report.comparison import r2_by_method, scatter_by_magnitude

    bars, scatter = figures
    r2_by_method(comparison, bars)
    scatter_by_magnitude(detail, scatter)


@stage
def comparison_figures_classes(comparison: Input, detail: Input, figures: Outputs) -> None:
    """The comparison tables of a task that classifies, drawn."""
    from galadapt.report.class_comparison import class_comparison_figures

    class_comparison_figures(comparison, detail, figures)
