"""The stages of the pipeline: which library function turns which inputs into which outputs.

A workflow calls ``galadapt stage NAME --settings JSON --input KEY PATH... --output KEY PATH...``.
Each stage is a function below that imports what it needs inside its body: a job pays only for its
own imports, and `code` names exactly the modules whose edits change its outputs. ``reads`` lists
the keys of the configuration a stage depends on: together with the code digest they are a job's
settings, the one value that decides whether a finished output is still right.
"""

from __future__ import annotations

import inspect
import os
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from galadapt.config.base import DOMAINS
from galadapt.config.classes import ClassEvaluation
from galadapt.config.image import Image, Psf
from galadapt.config.simulation import Noise, Simulation
from galadapt.config.survey import Extraction, Selection, Splits, Survey
from galadapt.config.training import Compute, Predictor
from galadapt.core.errors import ConfigError
from galadapt.core.files import external_digest
from galadapt.core.provenance import code_digest, code_modules, digest
from galadapt.core.quantity import PARAMETERS
from galadapt.stamps.preprocess import Step
from galadapt.tasks.experiment import Downloads, Experiment, Tracking
from galadapt.tasks.galaxies.settings import Evaluation, ProfileFit
from galadapt.tasks.registry import TASKS, method_of_task
from galadapt.tasks.screening.settings import FieldFiles, FieldSplits, SimulatedFields, field_pixels
from galadapt.tasks.stars.settings import FrameFiles, FrameSplits, SimulatedFrames, StarDetection

Settings = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


#: Read by a stage that prints the experiment: all of it but `PLUMBING`.
EXPERIMENT = "<experiment>"

#: Sections that are no part of what an experiment is.
PLUMBING = ("results", "compute", "tracking", "downloads")


class Paths(dict[str, list[Path]]):
    """Named lists of paths; `one` gives the only path of a name."""

    def one(self, name: str) -> Path:
        """Return the single path called `name`."""
        if len(self.get(name, [])) != 1:
            raise ConfigError(f"--input/--output {name}: give exactly one path")
        return self[name][0]


Stage = Callable[[Settings, Paths, Paths], None]

STAGES: dict[str, Stage] = {}
READS: dict[str, tuple[str, ...]] = {}
TASKS_OF: dict[str, tuple[str, ...]] = {}

#: Tasks that measure numbers, and tasks that tell classes apart.
MEASURES = tuple(name for name, kind in TASKS.items() if not kind.CLASSIFIES)
CLASSIFIES = tuple(name for name, kind in TASKS.items() if kind.CLASSIFIES)

#: Read by a stage that prints the code digest of every stage of its task: each is then among its
#: settings.
CODES = "<codes>"

#: Keys that say something to readers and nothing to a computation.
WORDS = frozenset({"description"})


def stage(*reads: str, tasks: Sequence[str] = tuple(TASKS)) -> Callable[[Stage], Stage]:
    """Register a stage under its function's name.

    Args:
        tasks: Tasks it belongs to.
        reads: Configuration keys the stage depends on, dotted; ``{name}`` is filled from the job's
            wildcards, as in ``method_settings.{method}``. Keys in `WORDS` inside them count only
            for a stage that reads the whole of ``method_settings`` to print it.
    """

    def register(function: Stage) -> Stage:
        STAGES[function.__name__] = function
        READS[function.__name__] = reads
        TASKS_OF[function.__name__] = tuple(tasks)
        return function

    return register


def _source(name: str) -> str:
    if name not in STAGES:
        raise ConfigError(f"no stage '{name}'; known: {', '.join(sorted(STAGES))}")
    return textwrap.dedent(inspect.getsource(STAGES[name]))


@cache
def code(name: str) -> str:
    """Digest the code of a stage: its function and every module reached from its imports."""
    return code_digest(_source(name))


def modules(name: str) -> list[str]:
    """Name the modules whose edits rerun a stage."""
    return code_modules(_source(name))


def settings(config: Experiment, name: str, **wildcards: Any) -> Settings:
    """Collect what one job of a stage reads: its part of the configuration, wildcards and code.

    Files outside the project that the configuration names (a PSF, a survey's folder) take part by
    their digest, because their paths differ between machines.
    """
    code_now = code(name)
    values: Settings = {}
    config = config.seen_by(wildcards)
    for template in _reads(config, name):
        *path, last = template.format(**wildcards).split(".")
        node: Any = config.model_dump(mode="json")
        target = values
        for key in path:
            node = node[key]
            if node is None:
                # A section that is switched off has nothing in it.
                last = key
                break
            target = target.setdefault(key, {})
        else:
            node = node[last]
        target[last] = _without_words(node) if path else node
    external = external_digest(values)
    codes = {}
    if CODES in READS[name]:
        task = str(values["task"])
        codes = {"codes": {stage: code(stage) for stage in STAGES if task in TASKS_OF[stage]}}
    return {
        "config": values,
        "code": code_now,
        **codes,
        **({"external": external} if external else {}),
        **({"wildcards": wildcards} if wildcards else {}),
    }


def _reads(config: Experiment, name: str) -> list[str]:
    reads: list[str] = []
    for read in READS[name]:
        if read == EXPERIMENT:
            reads += [key for key in type(config).model_fields if key not in PLUMBING]
        elif read != CODES:
            reads.append(read)
    return reads


def _without_words(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return {key: value for key, value in node.items() if key not in WORDS}


def run(name: str, job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Run one stage with the settings of one job."""
    _source(name)
    STAGES[name](job, inputs, outputs)


class Reading:
    """Typed access to a job's settings."""

    def __init__(self, job: Settings) -> None:
        self.job = job

    def plain(self, key: str) -> Any:
        """Return a plain value."""
        return self.job["config"][key]

    def section(self, model: type[Model], key: str) -> Model:
        """Return a section of the configuration."""
        return model.model_validate(self.plain(key))

    def union(self, kind: Any, key: str) -> Any:
        """Return a section that is one of several kinds."""
        return TypeAdapter(kind).validate_python(self.plain(key))

    def number(self, wildcard: str) -> int:
        """Return a wildcard that is a whole number."""
        return int(self.job["wildcards"][wildcard])


def _compute() -> Compute:
    """Where this job runs, as its scheduler says: no part of what a network is."""
    return Compute.model_validate(
        {
            "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
            "threads_per_training": int(os.environ.get("OMP_NUM_THREADS", "1")),
            "gpus_per_training": int(os.environ.get("GALADAPT_GPUS", "0")),
        }
    )


def _downloads() -> Downloads:
    """Where published data lie, as the workflow says: no part of what a survey is."""
    try:
        return Downloads.model_validate_json(os.environ.get("GALADAPT_DOWNLOADS", "{}"))
    except ValidationError as error:
        raise ConfigError(f"GALADAPT_DOWNLOADS: {error.errors()[0]['msg']}; unset it") from None


def _provenance(job: Settings) -> dict[str, Any]:
    return {"settings": job["config"], "code": job["code"], "digest": digest(job)}


# --- data -----------------------------------------------------------------------------------


@stage("image", "psf", "simulation", "seed", tasks=MEASURES)
def simulate(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """One shard of simulated stamps."""
    from galadapt.simulation.engine import shard_start, simulate_shard

    read = Reading(job)
    simulation = read.section(Simulation, "simulation")
    simulate_shard(
        image=read.section(Image, "image"),
        psf=read.union(Psf, "psf"),
        simulation=simulation,
        seed=read.plain("seed"),
        start=shard_start(simulation, read.number("shard")),
        stop=shard_start(simulation, read.number("shard") + 1),
        output=outputs.one("stamps"),
        provenance=_provenance(job),
    )


@stage("image", "psf", "survey", "seed", tasks=MEASURES)
def survey(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The survey's field: mosaic, weight, catalogue and what is known of the truth."""
    read = Reading(job)
    settings = read.union(Survey, "survey")
    arguments = {
        "survey": settings,
        "image": read.section(Image, "image"),
        "psf": read.union(Psf, "psf"),
        "seed": read.plain("seed"),
        **{name: outputs.one(name) for name in ("drz", "wht", "catalog", "truth")},
        "provenance": _provenance(job),
    }
    if settings.kind == "mock":
        from galadapt.surveys.mock import make_mock

        make_mock(**arguments)
    elif settings.kind == "images":
        from galadapt.surveys.images import make_images

        make_images(**arguments)
    elif settings.kind == "candels":
        from galadapt.surveys.candels import make_candels

        make_candels(**arguments, downloads=_downloads())
    else:
        from galadapt.surveys.cosmos import make_cosmos

        make_cosmos(**arguments)


@stage("image", "selection", tasks=MEASURES)
def select(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The catalogue's cuts."""
    from galadapt.surveys.selection import select as cut

    read = Reading(job)
    cut(
        catalog=inputs.one("catalog"),
        selection=read.section(Selection, "selection"),
        image=read.section(Image, "image"),
        selected=outputs.one("selected"),
        cuts=outputs.one("cuts"),
    )


@stage("image", "extraction", "splits", "seed", tasks=MEASURES)
def extract(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Stamps cut from the mosaic."""
    from galadapt.cutouts.cutouts import extract as cut_out

    read = Reading(job)
    cut_out(
        drz=inputs.one("drz"),
        wht=inputs.one("wht"),
        selected=inputs.one("selected"),
        image=read.section(Image, "image"),
        extraction=read.section(Extraction, "extraction"),
        splits=read.section(Splits, "splits"),
        seed=read.plain("seed"),
        output=outputs.one("stamps"),
        rejected=outputs.one("rejected"),
        provenance=_provenance(job),
        processes=_compute().threads_per_training,
    )


@stage("variant_chains.{variant}")
def variant(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """One variant of one domain's stamps."""
    from galadapt.stamps.preprocess import make_variant

    chain = job["config"]["variant_chains"][job["wildcards"]["variant"]]
    make_variant(
        paths=inputs["stamps"],
        steps=TypeAdapter(list[Step]).validate_python(chain),
        output=outputs.one("stamps"),
        provenance=_provenance(job),
    )


@stage("simulated", "seed", tasks=("stars",))
def star_frames(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Simulated CCD frames of stars, and their list."""
    from galadapt.tasks.stars.simulate import simulate_frames

    read = Reading(job)
    simulate_frames(
        settings=read.section(SimulatedFrames, "simulated"),
        seed=read.plain("seed"),
        folder=outputs.one("frames"),
        table=outputs.one("table"),
        provenance=_provenance(job),
        processes=_compute().threads_per_training,
    )


@stage("{domain}", "detection", "splits", "seed", tasks=("stars",))
def star_stamps(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Stamps of the stars of one domain's frames."""
    from galadapt.core.files import expand
    from galadapt.tasks.stars.extract import extract_stars

    read = Reading(job)
    domain = job["wildcards"]["domain"]
    where: dict[str, Any] = {"table": inputs.one("table")} if inputs.get("table") else {}
    if read.plain(domain)["kind"] == "files":
        files = read.section(FrameFiles, domain)
        where = {
            "table": expand(files.path),
            "folder": expand(files.directory) if files.directory else None,
            "hdu": files.hdu,
            "pixel_scale": files.pixel_scale,
            "saturation": files.saturation,
        }
    extract_stars(
        **where,
        detection=read.section(StarDetection, "detection"),
        splits=read.section(FrameSplits, "splits"),
        seed=read.plain("seed"),
        domain=domain,
        frames=outputs.one("frames"),
        rejected=outputs.one("rejected"),
        output=outputs.one("stamps"),
        provenance=_provenance(job),
        processes=_compute().threads_per_training,
    )


@stage("simulated", "seed", tasks=("screening",))
def simulated_fields(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Simulated X-ray fields."""
    from galadapt.tasks.screening.simulate import simulate_fields

    read = Reading(job)
    simulate_fields(
        settings=read.section(SimulatedFields, "simulated"),
        seed=read.plain("seed"),
        output=outputs.one("stamps"),
        provenance=_provenance(job),
        processes=_compute().threads_per_training,
    )


@stage("simulated.binning", "survey", "splits", "seed", tasks=("screening",))
def survey_fields(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The user's X-ray images, on the pixels of the simulated ones."""
    from galadapt.tasks.screening.files import read_fields

    read = Reading(job)
    side, pixel_scale = field_pixels((read.plain("simulated") or {}).get("binning"))
    read_fields(
        files=read.section(FieldFiles, "survey"),
        side=side,
        pixel_scale=pixel_scale,
        splits=read.section(FieldSplits, "splits"),
        seed=read.plain("seed"),
        output=outputs.one("stamps"),
        rejected=outputs.one("rejected"),
        provenance=_provenance(job),
    )


# --- runs -----------------------------------------------------------------------------------


@stage("method_settings.{method}")
def train(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """One network, trained on the domains its method names."""
    from galadapt.learners.train import train as train_network

    names = job["wildcards"]
    method = method_of_task(names["task"], job["config"]["method_settings"][names["method"]])
    train_network(
        task=names["task"],
        variant=names["variant"],
        method_name=names["method"],
        method=method,
        parameters=PARAMETERS,
        seed=int(names["seed"]),
        simulated=inputs["simulated"][0] if inputs.get("simulated") else None,
        survey=inputs["survey"][0] if inputs.get("survey") else None,
        output=outputs.one("run"),
        checkpoint=outputs.one("checkpoint"),
        start_model=inputs["start"][0] if inputs.get("start") else None,
        compute=_compute(),
        provenance=_provenance(job),
        teachers=[path for path in inputs.get("teachers", []) if path.name == "model.keras"],
    )


@stage()
def predict(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """One network's predictions and embeddings of both domains."""
    from galadapt.learners.predict import predict as ask_network

    ask_network(
        **{name: inputs.one(name) for name in ("run", "model")},
        domains={name: inputs.one(name) for name in DOMAINS if inputs.get(name)},
        **{name: outputs.one(name) for name in ("predictions", "embeddings", "record")},
        compute=_compute(),
    )


@stage("evaluation", tasks=MEASURES)
def evaluate(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Metrics of one run."""
    from galadapt.evaluation.evaluate import evaluate_run

    evaluate_run(
        predictions=inputs.one("predictions"),
        embeddings=inputs.one("embeddings"),
        run=inputs.one("run"),
        evaluation=Reading(job).section(Evaluation, "evaluation"),
        metrics=outputs.one("metrics"),
        by_magnitude=outputs.one("detail"),
    )


@stage("evaluation", tasks=CLASSIFIES)
def evaluate_classes(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Metrics of one run that classifies."""
    from galadapt.evaluation.classes import evaluate_run_classes

    evaluate_run_classes(
        **{name: inputs.one(name) for name in ("predictions", "embeddings", "run", "history")},
        evaluation=Reading(job).section(ClassEvaluation, "evaluation"),
        metrics=outputs.one("metrics"),
        by_class=outputs.one("detail"),
        answers=outputs.one("answers"),
    )


@stage("predictor", "psf", "extraction", "survey.kind", tasks=MEASURES)
def package(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The networks of one variant and method, as `galadapt predict` wants them."""
    from galadapt.prediction.build import write_package

    read = Reading(job)
    write_package(
        runs=[path.parent for path in inputs["runs"]],
        simulated=inputs["simulated"],
        survey=inputs.one("survey"),
        psf=read.union(Psf, "psf"),
        extraction=read.section(Extraction, "extraction"),
        predictor=read.section(Predictor, "predictor"),
        survey_kind=job["config"]["survey"]["kind"],
        output=outputs.one("package").parent,
        compute=_compute(),
        provenance=_provenance(job),
    )


# --- tables ---------------------------------------------------------------------------------


@stage(tasks=MEASURES)
def comparison(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The tables over seeds, with R1's published figures beside."""
    from galadapt.evaluation.compare import compare

    names = ("comparison", "markdown", "html", "plot")
    compare(
        metrics=inputs["metrics"],
        bins=inputs["details"],
        metrics_folder=outputs["summary"][0].parent,
        by_magnitude=outputs.one("detail"),
        **{name: outputs.one(name) for name in names},
    )


@stage("survey.kind", tasks=MEASURES)
def choice(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Which method a user without survey labels would choose, and the regret of it."""
    from galadapt.tasks.galaxies.choice import choose

    choose(
        runs=inputs["runs"],
        survey_kind=job["config"]["survey"]["kind"],
        choice=outputs.one("choice"),
        html=outputs.one("html"),
    )


@stage("psf", "extraction", "simulation.noise", "profile_fit", "seed", tasks=MEASURES)
def profile_fits(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """A profile fit to some of the survey's test galaxies."""
    from galadapt.simulation.noise import resolve
    from galadapt.tasks.galaxies.fitting.catalogue import fit_galaxies

    read = Reading(job)
    noise = Noise.model_validate(read.plain("simulation")["noise"])
    fit_galaxies(
        stamps=inputs.one("survey"),
        psf=read.union(Psf, "psf"),
        extraction=read.section(Extraction, "extraction"),
        exposure_time=resolve(noise).exposure_time if noise.depth != "none" else None,
        galaxies=read.section(ProfileFit, "profile_fit").galaxies,
        seed=read.plain("seed"),
        output=outputs.one("fits"),
        processes=_compute().threads_per_training,
    )


@stage(tasks=MEASURES)
def against_fits(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The networks against the profile fits."""
    from galadapt.tasks.galaxies.against_fits import FIT
    from galadapt.tasks.galaxies.against_fits import against_fits as compare_with
    from galadapt.tasks.galaxies.fit_figures import against_fits as draw

    compare_with(
        fits=inputs.one("fits"),
        runs=inputs["runs"],
        table=outputs.one("table"),
        html=outputs.one("html"),
    )
    draw(outputs.one("table"), outputs.one("figure"), FIT)


@stage("task", tasks=CLASSIFIES)
def comparison_classes(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The tables over seeds of a task that classifies, with R2's and R3's published figures."""
    from galadapt.evaluation.compare_classes import compare_classes

    names = ("comparison", "detail", "markdown", "html", "plot")
    compare_classes(
        metrics=inputs["metrics"],
        by_class=inputs["details"],
        task=job["config"]["task"],
        metrics_folder=outputs["summary"][0].parent,
        **{name: outputs.one(name) for name in names},
    )


@stage(EXPERIMENT, "tracking")
def track(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Finished run folders, mirrored to MLflow."""
    from galadapt.pipeline.mlflow import track as mirror

    tracking = Reading(job).section(Tracking, "tracking")
    mirror(
        runs=inputs["runs"],
        uri=tracking.uri,
        experiment=tracking.experiment,
        manifest=outputs.one("manifest"),
        configuration=job["config"],
        version=job["code"],
        summary=inputs.get("summary", []),
    )


@stage(EXPERIMENT, CODES)
def report(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The report: one self-contained page."""
    from galadapt.report.build import build_report
    from galadapt.report.captions import captioned, pictures

    by_variant = {
        name: [path for path in inputs.get("variant_figures", []) if path.parent.name == name]
        for name in job["config"]["variants"]
    }
    build_report(
        output=outputs.one("report"),
        configuration=job["config"],
        comparison_html=inputs.one("comparison"),
        pictures=pictures(
            [
                *inputs["comparison_figures"],
                *inputs.get("ablation", []),
                *inputs.get("fits_figure", []),
            ],
            by_variant,
            inputs["data_figures"],
        ),
        tables=inputs["tables"],
        runs=inputs["runs"],
        code=job["codes"],
        package=inputs.one("package") if inputs.get("package") else None,
        choice_html=inputs.one("choice") if inputs.get("choice") else None,
        fits_html=inputs.one("fits") if inputs.get("fits") else None,
        package_pictures=captioned(inputs.get("package_figures", [])),
    )


# --- figures --------------------------------------------------------------------------------


@stage(tasks=MEASURES)
def run_figures(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Figures of one run."""
    from galadapt.answers.numbers.figures import run_figures as draw

    draw(
        predictions=inputs.one("predictions"),
        history=inputs.one("history"),
        metrics=inputs.one("metrics"),
        outputs=outputs["figures"],
    )


@stage(tasks=CLASSIFIES)
def run_figures_classes(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Figures of one run that classifies."""
    from galadapt.answers.classes.figures import class_run_figures

    class_run_figures(
        predictions=inputs.one("predictions"),
        history=inputs.one("history"),
        metrics=inputs.one("metrics"),
        outputs=outputs["figures"],
    )


@stage(tasks=MEASURES)
def data_figures(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """What went in: parameters and stamps of both domains."""
    from galadapt.report.data import contact_sheet, parameter_histograms

    parameters, stamps = outputs["figures"]
    further: dict[str, list[Path]] = {}
    for path in inputs.get("further", []):
        # The shards of one simulation share a folder.
        further.setdefault(path.parent.name.replace("_", " "), []).append(path)
    parameter_histograms(inputs["simulated"], inputs.one("survey"), parameters)
    contact_sheet(inputs["simulated"], inputs.one("survey"), stamps, further)


@stage(tasks=CLASSIFIES)
def data_figures_classes(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """What went in: classes and stamps of all domains."""
    from galadapt.report.class_data import class_data_figures

    given = {domain: inputs[domain] for domain in DOMAINS if inputs.get(domain)}
    class_data_figures(given, outputs["figures"])


@stage(tasks=MEASURES)
def variant_figures(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """One variant's methods side by side."""
    from galadapt.report.comparison import feature_maps, survey_scatter

    def by_method(paths: list[Path]) -> dict[str, Path]:
        # A run folder is <variant>/<method>/seed<seed>.
        return {path.parent.parent.name: path for path in paths}

    survey_scatter(by_method(inputs["predictions"]), outputs.one("survey_scatter"))
    feature_maps(by_method(inputs["embeddings"]), outputs.one("feature_maps"))


@stage(tasks=MEASURES)
def comparison_figures(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The comparison table, drawn."""
    from galadapt.report.comparison import r2_by_method, scatter_by_magnitude

    bars, scatter = outputs["figures"]
    r2_by_method(inputs.one("comparison"), bars)
    scatter_by_magnitude(inputs.one("detail"), scatter)


@stage("methods", "method_settings", tasks=MEASURES)
def ablation(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """R2 against a number of training stamps, where methods differ in nothing else."""
    from galadapt.evaluation.ablation import curves
    from galadapt.report.comparison import ablation as draw
    from galadapt.stamps.format import StampSet

    available = {}
    for setting, domain in (("n_simulated", "simulated"), ("n_survey", "survey")):
        with StampSet(inputs[domain]) as stamps:
            training = stamps.table[stamps.table["split"] == "train"]
            available[setting] = len(training.dropna(subset=list(PARAMETERS)))
    draw(
        comparison=inputs.one("comparison"),
        curves=curves(job["config"]["methods"], job["config"]["method_settings"]),
        available=available,
        output=outputs.one("figure"),
    )


@stage(tasks=MEASURES)
def package_figures(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """Whether the errors of a prediction package hold, drawn."""
    from galadapt.prediction.coverage import coverage_figures

    curve, scatter = outputs["figures"]
    coverage_figures(
        package=inputs.one("package"),
        reference=inputs.one("reference"),
        predictions=inputs["predictions"],
        curve=curve,
        scatter=scatter,
    )


@stage(tasks=CLASSIFIES)
def comparison_figures_classes(job: Settings, inputs: Paths, outputs: Paths) -> None:
    """The comparison tables of a task that classifies, drawn."""
    from galadapt.report.class_comparison import class_comparison_figures

    class_comparison_figures(inputs.one("comparison"), inputs.one("detail"), outputs["figures"])
