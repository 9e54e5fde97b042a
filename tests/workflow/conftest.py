"""Finished projects to test on."""

from __future__ import annotations

from pathlib import Path

import pytest
from dag import Project, new_project


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together in one process what uses the finished project, and each other module."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            used = "finished" in item.fixturenames  # type: ignore[attr-defined]
            group = "finished" if used else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose whole DAG has run with two cores. Tests must not change it: copy it."""
    project = new_project(repository, tmp_path_factory.mktemp("finished") / "project")
    project.snakemake("all")
    return project


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """A finished project of the test's own."""
    return finished.copy(tmp_path / "project")
