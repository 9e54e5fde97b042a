"""The task votes."""

from galadapt.tasks.task import Task
from galadapt.tasks.votes.settings import VotesConfig

TASK = Task(package=__package__, settings=VotesConfig, data_figures=("vote_images", "vote_shares"))
