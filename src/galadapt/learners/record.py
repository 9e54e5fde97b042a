"""The record of a finished training, `run.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galadapt.core.errors import DataError
from galadapt.core.files import read_json, require


def read_record(run: Path) -> dict[str, Any]:
    """Read a run.json; a DataError if it is missing, broken, or of another version."""
    record = read_json(run)
    if not isinstance(record, dict) or "learner" not in record:
        raise DataError(
            f"{run}: made by galadapt 0.1.0, whose run folders are no longer read; delete "
            f"{run.parent} and run the workflow again"
        )
    needed = ("settings", "answer", "weights", "identity")
    require(record, needed, run, "delete its run folder and train again", "key")
    return record
