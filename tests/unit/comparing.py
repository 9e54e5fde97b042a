"""The comparison of fabricated runs, written below one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from galadapt.evaluation.compare import compare
from galadapt.tasks.registry import task

NAMES = {
    "comparison": "comparison.csv",
    "breakdown": "breakdown.csv",
    "text": "comparison.txt",
    "markdown": "comparison.md",
    "html": "comparison.html",
    "metrics_folder": "metrics",
    "plot": "headline.csv",
}


def compared(
    runs: Sequence[Path],
    folder: Path,
    of_task: str = "galaxies",
    adapted: Sequence[str] | None = None,
) -> dict[str, Path]:
    """Compare runs as the pipeline does, and return where every form lies."""
    paths = {key: folder / name for key, name in NAMES.items()}
    words = task(of_task).words
    compare(
        [run / "metrics.json" for run in runs],
        [run / "breakdown.csv" for run in runs],
        words.published,
        words.work,
        **paths,
        adapted=adapted,
    )
    return paths
