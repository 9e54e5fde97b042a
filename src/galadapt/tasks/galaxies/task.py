"""The task galaxies."""

from galadapt.core.quantity import SERSIC
from galadapt.tasks.galaxies.settings import Config
from galadapt.tasks.task import Task

TASK = Task(
    package=__package__,
    settings=Config,
    data_figures=("parameters", "stamps"),
    quantities=SERSIC,
    parts=("package", "fits", "ablation", "measure"),
)
