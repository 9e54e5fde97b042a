"""The task stars."""

from galadapt.tasks.stars.settings import StarsConfig
from galadapt.tasks.task import Task

TASK = Task(settings=StarsConfig)
