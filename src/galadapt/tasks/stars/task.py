"""The task stars."""

from galadapt.tasks.stars.settings import StarsConfig
from galadapt.tasks.task import Task

TASK = Task(package=__package__, settings=StarsConfig, data_figures=("counts", "contact_sheet"))
