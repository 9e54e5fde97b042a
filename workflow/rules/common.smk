# What all rules share: the validated configuration, where things lie, and the functions they call.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

PROJECT = Path(workflow.current_basedir).parents[1]
SOURCE = str(PROJECT / "src")

import cluster
from galadapt.answers.registry import KINDS
from galadapt.config.base import DOMAINS
from galadapt.config.machine import Downloads
from galadapt.config.training import Compute
from galadapt.pipeline import jobs, records, store
from galadapt.tasks import registry
from galadapt.tasks.reading import validate
from galadapt.core.errors import GaladaptError
from galadapt.core.files import canonical_json

try:
    CONFIG = validate(config, "configuration")
    store.require(CONFIG.tracking)
except GaladaptError as error:
    raise WorkflowError(str(error))

# Jobs run `python -m galadapt` of this interpreter and this checkout, whether or not the
# environment is activated.
os.environ.setdefault("GALADAPT_DATA", str(PROJECT.parent / "shared/data"))
os.environ.update(
    # Figures are files, whatever a notebook that starts the workflow draws with.
    MPLBACKEND="Agg",
    PYTHONPATH=SOURCE,
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
)

# How and where a network is trained, and where a survey's files lie, changes no result: these
# sections reach a job by its environment and stay out of its settings. Other tasks have their own.
VARIABLES = {Compute: "GALADAPT_COMPUTE", Downloads: "GALADAPT_DOWNLOADS"}
for section, variable in zip((CONFIG.compute, CONFIG.downloads), VARIABLES.values()):
    os.environ[f"{variable}_{CONFIG.task}"] = section.model_dump_json()

TASK = registry.task(CONFIG.task)

RESULTS = CONFIG.results
# Jobs record beside their results what they were made with (galadapt.pipeline.records).
os.environ[records.VARIABLE] = os.pathsep.join(
    dict.fromkeys([*os.environ.get(records.VARIABLE, "").split(os.pathsep), RESULTS])
)
DATA = f"{RESULTS}/data"
VARIANT = f"{DATA}/variants/{{variant}}/{{source}}.h5"
RUNS = f"{RESULTS}/runs"
RUN = f"{RUNS}/{{task}}/{{variant}}/{{method}}/seed{{seed}}"
TABLES = f"{RESULTS}/tables"
FIGURES = f"{RESULTS}/figures"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
CHECKPOINTS = f"{RESULTS}/checkpoints"
# Snakemake formats it: braces in the path of the checkout are no wildcards.
ENVIRONMENT = str(PROJECT / "envs/cpu.yaml").replace("{", "{{").replace("}", "}}")

# The kind of answer: it names its tables and figures.
KIND = KINDS[CONFIG.answer_kind]


wildcard_constraints:
    task="[a-z0-9_]+",
    variant="[a-z0-9_]+",
    method="[a-z0-9_]+",
    seed=r"\d+",
    shard=r"\d+",
    domain="|".join(DOMAINS),
    source="|".join(CONFIG.sources),


def job_settings(stage):
    """Return the params function of a stage: one canonical value holding all the job depends on."""

    def of_job(wildcards):
        try:
            values = jobs.settings(CONFIG, stage, **dict(wildcards))
        except GaladaptError as error:
            raise WorkflowError(str(error))
        return canonical_json(values)

    of_job.stage = jobs.full_name(CONFIG.task, stage)
    of_job.results = RESULTS
    return of_job


def command(stage, **others):
    """Return the shell line that runs a stage, as the signature of the stage declares it.

    Paths are the rule's inputs and outputs of the same names; `others` are written instead of
    them.
    """
    name = jobs.full_name(CONFIG.task, stage)
    declared = jobs.find(name)
    words = [
        f'{variable}="${variable}_{CONFIG.task}"'
        for section, variable in VARIABLES.items()
        if declared.takes(section)
    ]
    if declared.takes(Compute):
        words += ["GALADAPT_GPUS={resources.gpu}"]
    words += [f"python -m galadapt stage {name} --settings {{params.settings:q}}"]
    for option in ("input", "output"):
        for path in declared.files(option):
            words += [f"--{option} {path}", others.get(path, f"{{{option}.{path}}}")]
    return " ".join([*words, "2>&1 | tee {log}"])


RUN_FOLDERS = [f"{RUNS}/{run.folder}" for run in CONFIG.runs()]


def of_runs(names):
    """List the files `names` of every run folder of the experiment."""
    return [f"{folder}/{name}" for folder in RUN_FOLDERS for name in names]


def record_of(wildcards, **others):
    """Return run.json of the run of a job's wildcards, or of `others` in their place."""
    return f"{RUN.format(**{**dict(wildcards), **others})}/run.json"


def records_of(wildcards, **others):
    """List run.json of the run of a job's wildcards, as `record_of`, in every seed."""
    return [record_of(wildcards, **others, seed=seed) for seed in CONFIG.seeds]


def of_first_seed(name):
    """Return the input function for one file of every method's first run of a variant."""
    return lambda wildcards: [
        f"{RUNS}/{run.folder}/{name}"
        for run in CONFIG.runs()
        if run.variant == wildcards.variant and run.seed == CONFIG.seeds[0]
    ]


def stamps_of(domain, domains):
    """Return the input function for the stamps of a domain: nothing where a job has none of it.

    Args:
        domains: Function of a method's name: the domains that a job of this method reads. A job of
            a whole variant reads those of its first method.
    """

    def of_job(wildcards):
        variant = wildcards.variant
        method = wildcards.get("method") or next(
            run.method for run in CONFIG.runs() if run.variant == variant
        )
        if domain not in domains(method):
            return []
        return VARIANT.format(variant=variant, source=CONFIG.source(method, domain))

    return of_job


def trained_on(method):
    return CONFIG.method_settings[method].domains


def tested_on(method):
    return CONFIG.domains


def shown(method):
    """Return the domains whose stamps the figures of a run show."""
    return CONFIG.domains if KIND.pictures else ()


def start_run(wildcards):
    """Return what a method builds on: its start, or where its features are from."""
    start = CONFIG.method_settings[wildcards.method].builds_on
    return [] if start is None else record_of(wildcards, method=start)


def teacher_runs(wildcards):
    """Return what a method learns from that trains itself: its start, in every seed."""
    settings = CONFIG.method_settings[wildcards.method]
    if getattr(settings, "self_training", None) is None:
        return []
    return records_of(wildcards, method=settings.starts_from)


# Files of each stamp set.
STAMPS = {
    source: [f"{DATA}/{source}/{name}" for name in CONFIG.stamp_files(source)]
    for source in CONFIG.sources
}

# What the optional parts of an experiment make, for the report and `all`.
PACKAGE_FIGURES = []
CHOICE = []
FITS = []
ABLATION = []

# The durable outputs of each milestone. The rules of a task's data define DATA_TABLES, shown
# in the report, and DATA_FILES, what else they leave.


def data_outputs():
    variants = expand(VARIANT, variant=CONFIG.variants, source=CONFIG.sources)
    stamps = [path for paths in STAMPS.values() for path in paths]
    return [*stamps, *DATA_TABLES, *DATA_FILES, *variants]


def package_outputs():
    if "package" not in TASK.parts:
        return []
    run = CONFIG.predictor_runs()[0]._asdict()
    return [path.format(**run) for path in rules.package.output]


def run_outputs():
    """Files of all run folders; the models, which are folders, stand beside."""
    files = (*rules.train.output, *rules.predict.output, *rules.evaluate.output)
    names = [Path(path).name for path in files if path != rules.train.output.model]
    return of_runs(names + [f"figures/{name}.png" for name in KIND.run_figures])


def model_outputs():
    return of_runs([Path(rules.train.output.model).name])


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
        *expand(FEATURE_TABLES, variant=CONFIG.variants),
        *FEATURE_FIGURES,
        *OPTIMIZERS,
    ]


def table_outputs():
    return [*summary_outputs(), *rules.report.output, *rules.track.output]
