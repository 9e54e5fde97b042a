"""What the report states about votes follows from the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from galadapt.config.base import merge
from galadapt.tasks.votes.settings import VotesConfig
from galadapt.tasks.votes.words import WORDS


def configuration(repository: Path, preset: str = "") -> dict[str, Any]:
    values = yaml.safe_load((repository / "config/votes.yaml").read_text())
    if preset:
        path = repository / f"config/presets/{preset}.yaml"
        values = merge(values, yaml.safe_load(path.read_text())["votes"])
    return VotesConfig.model_validate(values).model_dump(mode="json")


def test_facts_name_the_crowds(repository: Path) -> None:
    facts = dict(WORDS.facts(configuration(repository)))
    assert facts["Simulated"] == "simulated images and votes, 40 to 50 volunteers"
    assert facts["Survey"] == "mock survey, 40 to 50 volunteers"
    real = dict(WORDS.facts(configuration(repository, "votes_real")))
    assert real["Survey"] == "your own images"
    alone = {**configuration(repository), "survey": None}
    assert dict(WORDS.facts(alone))["Survey"] == "none"


@pytest.mark.parametrize(("preset", "mock"), [("", True), ("votes_real", False)])
def test_caveats_name_a_mock_survey(repository: Path, preset: str, mock: bool) -> None:
    caveats = WORDS.caveats(configuration(repository, preset), [])
    assert any("The survey is a mock" in line for line in caveats) == mock
