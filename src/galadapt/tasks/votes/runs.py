"""Finding the runs of a method that predicts votes."""

from __future__ import annotations

from pathlib import Path

from galadapt.core.files import read_json


def runs_in(folder: Path) -> list[Path]:
    """Return the run.json of a run folder, or of all seeds in the folder of a method.

    Empty where there is none, or its runs do not predict votes.
    """
    own = folder / "run.json"
    found = [own] if own.is_file() else sorted(folder.glob("seed*/run.json"))
    record = read_json(found[0]) if found else None
    answer = record.get("answer") if isinstance(record, dict) else None
    return found if isinstance(answer, dict) and answer.get("kind") == "votes" else []
