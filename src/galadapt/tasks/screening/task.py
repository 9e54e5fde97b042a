"""The task screening."""

from galadapt.tasks.screening.settings import ScreeningConfig
from galadapt.tasks.task import Task

TASK = Task(
    package=__package__,
    settings=ScreeningConfig,
    data_figures=("counts", "moments", "contact_sheet"),
)
