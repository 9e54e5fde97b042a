"""The task screening."""

from galadapt.tasks.screening.settings import ScreeningConfig
from galadapt.tasks.task import Task

TASK = Task(settings=ScreeningConfig)
