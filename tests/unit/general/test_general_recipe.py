"""The recipe of the network for any image is read, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from galadapt.config.general import General
from galadapt.core.errors import ConfigError
from galadapt.general.recipe import read_recipe


def test_the_recipe_in_the_repository_is_the_default(repository: Path) -> None:
    assert read_recipe(repository / "config" / "general.yaml") == General()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training:\n  seed: 1\n  seed: 2\n", "line.*3"),
        ("training: {speed: 1}\n", r"training\.speed: "),
        ("training: {batch: 0}\n", r"training\.batch: .*correct it"),
        ("draws: [\n", "not valid YAML"),
        ("- 1\n", "must contain keys and values"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"recipe.yaml: .*{message}"):
        read_recipe(path)


def test_a_recipe_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_recipe(tmp_path / "no.yaml")
