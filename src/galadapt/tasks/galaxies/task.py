"""The task galaxies."""

from galadapt.tasks.galaxies.settings import Config
from galadapt.tasks.task import Task

TASK = Task(settings=Config, parts=("package", "fits", "choice", "ablation"))
