"""What a Slurm cluster has, found out when jobs go to it: one profile fits all clusters."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import Any

from snakemake.logging import logger


def _asked(*command: str) -> str:
    """Return what a command of Slurm prints; nothing where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@cache
def has_accounting() -> bool:
    """Tell whether the cluster keeps accounts of jobs, which `sacct` needs."""
    for line in _asked("scontrol", "show", "config").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "AccountingStorageType":
            return not value.strip().endswith(("none", "(null)"))
    return True


@cache
def has_gpus() -> bool:
    """Tell whether a node of the cluster has GPUs that jobs may request."""
    return "gpu" in _asked("sinfo", "--noheader", "--format=%G")


def on_slurm(workflow: Any) -> bool:
    """Tell whether the workflow submits its jobs to Slurm."""
    return hasattr(workflow.executor_settings, "no_account")


def choose(workflow: Any) -> None:
    """Let the executor do without accounts where the cluster keeps none."""
    settings = workflow.executor_settings
    if on_slurm(workflow) and not has_accounting():
        settings.no_account = True
        settings.status_command = "squeue"
        logger.info("Slurm keeps no accounts here: jobs have none, and squeue tells their state")


def gpus(workflow: Any, count: int) -> Any:
    """Return the resource `gpu` of a job: none on a cluster without GPUs."""

    def of_job(wildcards: Any) -> int:
        return 0 if count and on_slurm(workflow) and not has_gpus() else count

    return of_job
