"""Results that a configuration no longer names: a removed method's runs, a renamed variant."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from galadapt.core.files import read_table
from galadapt.core.log import log
from galadapt.tasks.experiment import Experiment


def stale(results: Path, config: Experiment) -> list[Path]:
    """List what lies under `results` but does not belong to the experiment.

    Returns:
        Run folders, packages, variants, their figures and tables, metrics files, shards, and jobs
        of earlier plans of a survey, each the highest folder of which nothing belongs, sorted.
    """
    runs = {run.folder.parts for run in config.runs()}
    metrics = {f"{run.variant}.{run.method}.json" for run in config.runs()}
    found: set[Path] = set()
    for path in results.glob("runs/*/*/*/seed*"):
        parts = path.relative_to(results / "runs").parts
        if parts not in runs:
            wanted = [other for other in runs if other[:3] == parts[:3]]
            found.add(path if wanted else path.parent)
    # A package can be made of any method of the experiment.
    methods = {run[:3] for run in runs}
    members = {f"member-{k}.onnx" for k in range(1, len(config.seeds) + 1)}
    for path in results.glob("models/*/*/*"):
        if path.relative_to(results / "models").parts not in methods:
            found.add(path)
        else:
            found |= {file for file in path.glob("member-*") if file.name not in members}
    for folder in ("data/variants", "figures", "tables"):
        found |= {
            path
            for path in results.glob(f"{folder}/*")
            if path.is_dir() and path.name not in config.variants
        }
    found |= {path for path in results.glob("metrics/*.json") if path.name not in metrics}
    for source in config.sources:
        files = config.stamp_files(source)
        found |= {path for path in results.glob(f"data/{source}/*.h5") if path.name not in files}
    found |= _unplanned(results / "measure")
    return sorted(found)


def _unplanned(folder: Path) -> set[Path]:
    """Files of jobs that the plan of a survey no longer has."""
    plan = folder / "plan" / "jobs.csv"
    if not plan.is_file():
        return set()
    jobs = read_table(plan, ("tile", "cell", "part")).astype(str)
    named = set(jobs["tile"] + "/" + jobs["cell"] + "-" + jobs["part"])
    made = [*folder.glob("parts/*/[0-9]*"), *folder.glob("costs/*/[0-9]*")]
    return {path for path in made if f"{path.parent.name}/{path.stem}" not in named}


def remove(paths: Iterable[Path]) -> None:
    """Delete files and folders.

    A folder that is a link to another disk is deleted there too. What a linked file points to stays
    (it may be in a cache that others use), and is named.
    """
    for path in paths:
        if path.is_symlink():
            target = path.resolve()
            if target.is_dir():
                shutil.rmtree(target)
            elif target.exists():
                log.info(f"{path}: was a link; {target} stays")
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
