"""The stamps of some objects, once more: for drawing and fitting them."""

from __future__ import annotations

import numpy as np

from galadapt.cutouts.cutouts import Stamp
from galadapt.prediction.task import Task


def stamps_of(task: Task, rows: np.ndarray) -> dict[int, Stamp]:
    """Cut out some objects of a task, each from the first field that gives a stamp."""
    found: dict[int, Stamp] = {}
    for field in task.fields:
        left = np.array([row for row in rows.tolist() if row not in found], int)
        for batch in field.stamps(task.objects, left):
            for row, one in zip(batch.rows.tolist(), batch.judged, strict=True):
                if isinstance(one, Stamp) and np.isfinite(one.pixels).all():
                    found[row] = one
    return found
