# Before anything else: where the code is, and what a configuration must not have lost on its way.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

PROJECT = Path(workflow.current_basedir).parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "workflow")]

from galadapt.core import home
from galadapt.core.errors import GaladaptError
from galadapt.core.files import PROJECT_VARIABLE, read_yaml
from galadapt.tasks.reading import typed

# Files of the workflow are found beside it, wherever it runs (`--directory`, as a module).
os.environ[PROJECT_VARIABLE] = str(PROJECT)
home.settle(PROJECT / ".home")

try:
    # Snakemake drops the first of two equal keys, and leaves values of --config as text.
    for path in workflow.configfiles:
        read_yaml(path)
except GaladaptError as error:
    raise WorkflowError(str(error))

update_config(config, typed(dict(workflow.config_settings.config)))

# Trainings that may use a GPU at once, where nobody says how many: a profile may.
if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", 1)
