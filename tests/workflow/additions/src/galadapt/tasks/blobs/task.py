"""The task blobs: how bright and how wide is a blob?"""

from galadapt.tasks.blobs.settings import Blobs

from galadapt.core.quantity import Quantity
from galadapt.tasks.task import Task

TASK = Task(
    package=__package__,
    settings=Blobs,
    data_figures=(),
    quantities=(
        Quantity("peak", "peak", "p", error="relative", bounds=(0, 10), outlier=0.5),
        Quantity("width", "width", "w", "pix", bounds=(0, 16), outlier=1.0),
    ),
)
