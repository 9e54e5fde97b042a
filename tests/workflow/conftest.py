"""Finished projects to test on."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from dag import Project, new_project


@pytest.fixture(scope="session")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose whole DAG has run with two cores. Tests must not change it: copy it.

    The first process of a test run that needs it makes it; others wait, and use the same.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    place = shared / "finished"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            project = new_project(repository, tmp_path_factory.mktemp("making") / "project")
            project.snakemake("all")
            place.symlink_to(project.folder)
    return Project(place.resolve())


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """A finished project of the test's own."""
    return finished.copy(tmp_path / "project")
