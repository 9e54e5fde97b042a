"""Networks of the user's own, by import path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import yaml

from galadapt.config.classes import ClassNetwork
from galadapt.config.training import Network
from galadapt.config.votes import VoteNetwork
from galadapt.core.errors import ConfigError
from galadapt.core.imports import digest_of, function, is_import_path, source
from galadapt.pipeline import jobs
from galadapt.tasks.reading import load

TOWER = """from keras import layers


def tower(x, network):
    x = layers.Conv2D(4, 3, strides=4)(x)
    return layers.Flatten()(x)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(TOWER)
    return path


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("a/b.py:f", True), ("package.module:f", True), ("compact", False), ("a.py", False)],
)
def test_an_import_path_names_a_place_and_a_function(text, is_one):
    assert is_import_path(text) is is_one


def test_a_function_is_found_in_a_file_and_in_a_module(file):
    assert function(f"{file}:tower").__name__ == "tower"
    assert function("json:dumps")([1]) == "[1]"
    assert source("json:dumps").name == "__init__.py"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.py:f", "no such file; give FILE.py:FUNCTION"),
        ("no_such_module:f", "no such module"),
        ("json:nothing", "has no function 'nothing'; it has dump"),
    ],
)
def test_what_is_not_there_is_named(path, message):
    with pytest.raises(ConfigError, match=message):
        source(path)


def test_a_broken_file_is_a_sentence(file):
    file.write_text("def tower(:\n")
    with pytest.raises(ConfigError, match=r"mine\.py: not valid Python"):
        source(f"{file}:tower")


def test_comments_do_not_count_and_code_does(file):
    first = digest_of(f"{file}:tower")
    file.write_text("# A comment.\n" + TOWER)
    assert digest_of(f"{file}:tower") == first
    file.write_text(TOWER.replace("Conv2D(4", "Conv2D(5"))
    assert digest_of(f"{file}:tower") != first


@pytest.fixture
def experiment(file, tmp_path, repository):
    method = {"domains": ["simulated"], "network": {"architecture": f"{file}:tower"}}
    own = {"predictor": {"method": "mine"}, "method_settings": {"mine": method}}
    preset = {"methods": ["baseline", "mine"], **own}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(preset))

    def read():
        return load(repository / "config/config.yaml", path)

    return read


def training(experiment, method: str) -> object:
    return jobs.settings(
        experiment, "train", task="galaxies", variant="asinh", method=method, seed=1
    )


def test_an_edit_of_a_network_trains_only_its_own_methods_again(experiment, file):
    before = {name: training(experiment(), name) for name in ("baseline", "mine")}
    file.write_text(TOWER.replace("Conv2D(4", "Conv2D(5"))
    after = {name: training(experiment(), name) for name in ("baseline", "mine")}
    assert before["baseline"] == after["baseline"]
    assert before["mine"] != after["mine"]


def test_check_refuses_a_function_that_is_not_there(experiment, file):
    file.write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"mine\.network\.architecture: .*no function 'tower'"):
        experiment()


def test_a_misspelt_network_is_refused_with_all_that_may_be_given(experiment, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(re.sub(r"architecture: .*", "architecture: compcat", path.read_text()))
    with pytest.raises(ConfigError, match=r"architecture: .*'residual'.*or FILE\.py:FUNCTION"):
        experiment()


def test_the_names_of_a_configuration_are_the_registered_ones():
    from galadapt.learners.keras.architectures import ARCHITECTURES

    fields = (kind.model_fields["architecture"] for kind in (Network, ClassNetwork, VoteNetwork))
    named = {
        name
        for field in fields
        for part in get_args(field.annotation)
        if get_origin(part) is Literal
        for name in get_args(part)
    }
    assert named == set(ARCHITECTURES)


def test_a_network_of_ones_own_is_built_saved_and_opened(file, repository, tmp_path):
    from galadapt.learners.keras import networks

    for path in (f"{file}:tower", f"{repository}/examples/networks.py:wide"):
        model = networks.build(Network(architecture=path), 32, 4)
        model.save(tmp_path / "network.keras")
        stamps = np.ones((2, 32, 32, 1), np.float32)
        again = networks.load(tmp_path / "network.keras")
        np.testing.assert_allclose(networks.predict(again, stamps), networks.predict(model, stamps))


def test_a_layer_class_of_ones_own_is_refused(file):
    from galadapt.learners.keras import networks

    file.write_text(
        "from keras import layers\n\n\nclass Own(layers.Dense):\n    pass\n\n\n"
        "def tower(x, network):\n    return Own(3)(layers.Flatten()(x))\n"
    )
    with pytest.raises(ConfigError, match="a layer class of its own, Own"):
        networks.build(Network(architecture=f"{file}:tower"), 16, 4)
