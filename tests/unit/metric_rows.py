"""Reading and changing the rows of a metrics.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def value(run: Path, domain: str, item: str, metric: str, split: str = "test") -> Any:
    """Return one figure of a run folder; KeyError where there is none."""
    rows = json.loads((run / "metrics.json").read_text())["rows"]
    found = {(r["domain"], r["split"], r["item"], r["metric"]): r["value"] for r in rows}
    return found[domain, split, item, metric]


def domains(run: Path) -> set[str]:
    """Domains of a run folder that have metrics."""
    rows = json.loads((run / "metrics.json").read_text())["rows"]
    return {row["domain"] for row in rows} - {"both"}


def change(run: Path, new: Callable[[Row], Any]) -> None:
    """Replace figures: `new` returns the value of a row, or ... to leave it out."""
    path = run / "metrics.json"
    content = json.loads(path.read_text())
    rows = [{**row, "value": new(row)} for row in content["rows"]]
    content["rows"] = [row for row in rows if row["value"] is not ...]
    path.write_text(json.dumps(content))
