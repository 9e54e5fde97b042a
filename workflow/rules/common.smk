# What all rules share: the validated configuration, where things lie, and the functions they call.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SOURCE = str(Path(workflow.current_basedir).parents[1] / "src")
sys.path.insert(0, SOURCE)

from galadapt.pipeline import stages
from galadapt.config.base import DOMAINS
from galadapt.tasks.reading import validate
from galadapt.core.errors import GaladaptError
from galadapt.core.files import canonical_json

try:
    CONFIG = validate(config, "configuration")
except GaladaptError as error:
    raise WorkflowError(str(error))

# Jobs run `python -m galadapt` of this interpreter and this checkout, whether or not the
# environment is activated. Backend, GPUs and folders of downloads stay out of their settings: where
# and how fast a network is trained is not what it is, nor where a survey's files lie.
os.environ.setdefault("GALADAPT_DATA", "../shared/data")
os.environ.update(
    PYTHONPATH=SOURCE,
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    KERAS_BACKEND=CONFIG.compute.backend,
    GALADAPT_GPUS=str(CONFIG.compute.gpus_per_training),
)
if CONFIG.task == "galaxies":
    os.environ.update(GALADAPT_DOWNLOADS=CONFIG.downloads.model_dump_json())

RESULTS = CONFIG.results
DATA = f"{RESULTS}/data"
VARIANT = f"{DATA}/variants/{{variant}}/{{source}}.h5"
RUNS = f"{RESULTS}/runs"
RUN = f"{RUNS}/{{task}}/{{variant}}/{{method}}/seed{{seed}}"
TABLES = f"{RESULTS}/tables"
FIGURES = f"{RESULTS}/figures"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
CHECKPOINTS = f"{RESULTS}/checkpoints"
ENVIRONMENT = "../../envs/cpu.yaml"

# What judges and draws: numbers that are measured, or classes that are told apart.
KIND = "_classes" if CONFIG.CLASSIFIES else ""
DETAIL = "by_class" if CONFIG.CLASSIFIES else "by_magnitude"


wildcard_constraints:
    task="[a-z0-9_]+",
    variant="[a-z0-9_]+",
    method="[a-z0-9_]+",
    seed=r"\d+",
    shard=r"\d+",
    domain="|".join(DOMAINS),
    source="|".join(CONFIG.sources),


def job_settings(stage, **fixed):
    """Return the params function of a stage: one canonical value holding all the job depends on."""

    def of_job(wildcards):
        try:
            values = stages.settings(CONFIG, stage, **{**dict(wildcards), **fixed})
        except GaladaptError as error:
            raise WorkflowError(str(error))
        return canonical_json(values)

    return of_job


RUN_FOLDERS = [RUN.format(**run._asdict()) for run in CONFIG.runs()]


def of_runs(names):
    """List the files `names` of every run folder of the experiment."""
    return [f"{folder}/{name}" for folder in RUN_FOLDERS for name in names]


def stamps_of_method(wildcards, domain):
    source = CONFIG.source(wildcards.method, domain)
    return [VARIANT.format(variant=wildcards.variant, source=source)]


def training_stamps(domain):
    """Return the input function of `train` for a domain: nothing where a method leaves it out."""

    def of_method(wildcards):
        if domain not in CONFIG.method_settings[wildcards.method].domains:
            return []
        return stamps_of_method(wildcards, domain)

    return of_method


def testing_stamps(domain):
    """Return the input function of `predict`: nothing where the experiment has none of a domain."""

    def of_method(wildcards):
        return stamps_of_method(wildcards, domain) if domain in CONFIG.domains else []

    return of_method


def start_model(wildcards):
    start = CONFIG.method_settings[wildcards.method].starts_from
    if start is None:
        return []
    folder = RUN.format(**{**dict(wildcards), "method": start})
    return [f"{folder}/model.keras", f"{folder}/run.json"]


def teacher_models(wildcards):
    """Return the input of `train` that a method learns from: its start, in every seed."""
    settings = CONFIG.method_settings[wildcards.method]
    if getattr(settings, "self_training", None) is None:
        return []
    names = {**dict(wildcards), "method": settings.starts_from}
    return [
        f"{RUN.format(**{**names, 'seed': seed})}/{name}"
        for seed in CONFIG.seeds
        for name in ("model.keras", "run.json")
    ]


def first_seed(name):
    """Return the input function for one file of every method's first run of a variant."""

    def of_variant(wildcards):
        return [
            f"{RUN.format(**run._asdict())}/{name}"
            for run in CONFIG.runs()
            if run.variant == wildcards.variant and run.seed == CONFIG.seeds[0]
        ]

    return of_variant


def seeds_of(name):
    """Return the input function for one file of every seed's run of a variant and method."""

    def of_package(wildcards):
        return [
            f"{RUN.format(**dict(wildcards), seed=seed)}/{name}"
            for seed in CONFIG.seeds
        ]

    return of_package


# The durable outputs of each milestone. The rules that make a task's stamps say where these lie
# (STAMPS), which tables tell of them (DATA_TABLES), and what else they leave (DATA_FILES).


def data_outputs():
    variants = expand(VARIANT, variant=CONFIG.variants, source=CONFIG.sources)
    stamps = [path for paths in STAMPS.values() for path in paths]
    return [*stamps, *DATA_TABLES, *DATA_FILES, *variants]


def package_outputs():
    if CONFIG.CLASSIFIES:
        return []
    run = CONFIG.predictor_runs()[0]._asdict()
    return [path.format(**run) for path in rules.package.output]


def run_outputs():
    files = (*rules.train.output, *rules.predict.output, *rules.evaluate.output)
    return of_runs(
        [Path(path).name for path in files]
        + [f"figures/{name}" for name in RUN_FIGURES]
    )


def summary_outputs():
    """Tables and figures of the whole experiment."""
    return [
        *rules.comparison.output,
        *DATA_FIGURES,
        *COMPARISON_FIGURES,
        *VARIANT_FIGURES,
        *PACKAGE_FIGURES,
        *CHOICE,
        *ABLATION,
        *FITS,
    ]


def table_outputs():
    return [*summary_outputs(), *rules.report.output, *rules.track.output]
