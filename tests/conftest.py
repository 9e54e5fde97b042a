"""Fixtures for every test: where the repository and the real data are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from galadapt.core.log import to_stderr

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _messages() -> None:
    """Tests read messages where the command line prints them."""
    to_stderr()


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def galadapt_data() -> Path:
    """The folder of real data: GALADAPT_DATA, else shared/data beside the checkout.

    Missing data skips the test on a developer's machine and fails it in CI, where a silent skip
    would look like a pass.
    """
    named = os.environ.get("GALADAPT_DATA")
    candidates = [Path(named)] if named else [REPOSITORY.parent / "shared" / "data"]
    for folder in candidates:
        if folder.is_dir():
            return folder
    message = f"real data not found at {candidates[0]}; set GALADAPT_DATA to its folder"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
