"""The task galaxies."""

from galadapt.core.quantity import PARAMETERS
from galadapt.tasks.galaxies.settings import Config
from galadapt.tasks.task import Task

TASK = Task(
    settings=Config,
    parts=("package", "fits", "choice", "ablation"),
    plots={"survey_r2.csv": PARAMETERS},
)
