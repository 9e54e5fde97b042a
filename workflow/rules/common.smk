# What every rule shares: the validated configuration, where things lie, and a job's settings.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Jobs run `python -m galadapt` of this interpreter and this checkout, whether or not the
# environment is activated.
sys.path.insert(0, str(Path(workflow.current_basedir).parents[1] / "src"))
os.environ["PYTHONPATH"] = sys.path[0]
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
os.environ.setdefault("GALADAPT_DATA", "../shared/data")

from galadapt import stages
from galadapt.config import validate
from galadapt.errors import GaladaptError
from galadapt.files import canonical_json

try:
    CONFIG = validate(config, "configuration")
except GaladaptError as error:
    raise WorkflowError(str(error))

# Where and how fast a network is trained is not what it is: this stays out of the settings.
os.environ["KERAS_BACKEND"] = CONFIG.compute.backend

RESULTS = CONFIG.results
DATA = f"{RESULTS}/data"
RUNS = f"{RESULTS}/runs"
RUN = f"{RUNS}/{{task}}/{{variant}}/{{method}}/seed{{seed}}"
TABLES = f"{RESULTS}/tables"
FIGURES = f"{RESULTS}/figures"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
CHECKPOINTS = f"{RESULTS}/checkpoints"
ENVIRONMENT = "../../envs/cpu.yaml"

DOMAINS = ("simulated", "survey")
SHARDS = [f"{DATA}/simulated/shard-{k:03d}.h5" for k in range(CONFIG.simulation.shards)]
SURVEY_STAMPS = f"{DATA}/survey/stamps.h5"


wildcard_constraints:
    task="[a-z0-9_]+",
    variant="[a-z0-9_]+",
    method="[a-z0-9_]+",
    seed=r"\d+",
    shard=r"\d+",
    domain="|".join(DOMAINS),


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
