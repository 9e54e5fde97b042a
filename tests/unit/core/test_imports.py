"""Networks of the user's own, by import path."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import yaml

from galadapt.config.classes import ClassNetwork
from galadapt.config.training import Method, Network, OwnAlignment
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


SWD = """import numpy as np
from keras import ops


def swd(features, simulated, survey, settings):
    axes = np.random.default_rng(0).normal(size=(features.shape[1], 8))
    x = ops.matmul(features, ops.convert_to_tensor(axes, "float32"))
    difference = ops.matmul((simulated - survey)[None], x)
    return settings.parameters["scale"] * ops.mean(ops.square(difference))
"""

HELPED = "from thesis.blocks import filters\n" + TOWER.replace("Conv2D(4", "Conv2D(filters")


@pytest.fixture
def thesis(tmp_path, monkeypatch):
    """A folder of networks and losses, in the folder of the run."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "blocks.py").write_text("from . import sizes\nfilters = 2 * sizes.half\n")
    (folder / "sizes.py").write_text("half = 2\n")
    (folder / "net.py").write_text(HELPED)
    monkeypatch.chdir(tmp_path)
    yield Path("thesis")
    for name in [name for name in sys.modules if name.partition(".")[0] == "thesis"]:
        del sys.modules[name]


@pytest.mark.parametrize("helper", ["blocks.py", "sizes.py"])
def test_an_edit_of_an_imported_module_counts_as_one_of_the_file(thesis, helper):
    before = digest_of("thesis/net.py:tower")
    (thesis / helper).write_text((thesis / helper).read_text() + "more = 1\n")
    after = digest_of("thesis/net.py:tower")
    assert before != after
    (thesis / "unused.py").write_text("x = 1\n")
    assert digest_of("thesis/net.py:tower") == after


def test_an_edit_of_a_module_of_the_same_package_counts(thesis, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir("/")
    path = "thesis.net:tower"
    before = digest_of(path)
    (tmp_path / "thesis/sizes.py").write_text("half = 3\n")
    assert digest_of(path) != before


def test_modules_are_imported_from_the_folder_of_the_run(thesis, monkeypatch):
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(Path.cwd()))])
    assert function("thesis/net.py:tower").__globals__["filters"] == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import blocks", "imports blocks, which lies beside it.*`from thesis.blocks import ...`"),
        ("from .blocks import filters", "name the module from the folder of the run on"),
        ("import no_such_package", "imports no_such_package, which is not installed; install it"),
        ("x = 1 / 0", "ZeroDivisionError in line 1: division by zero"),
    ],
)
def test_a_file_that_cannot_be_imported_is_a_sentence(thesis, line, message):
    (thesis / "net.py").write_text(f"{line}\n{TOWER}")
    with pytest.raises(ConfigError, match=message):
        function("thesis/net.py:tower")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def tower(x):\n    return x\n", r"takes \(x\), but is called with \(stamps, network\)"),
        ("def tower(x, n, more):\n    return x\n", r"takes \(x, n, more\)"),
        ("def tower(x, n, *, more):\n    return x\n", r"takes \(x, n, \*, more\)"),
        ("def tower(x, n):\n    def f():\n        return x\n    return\n", "returns nothing"),
    ],
)
def test_check_refuses_a_function_that_cannot_be_called(experiment, file, text, message):
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"mine\.network\.architecture: .*{message}"):
        experiment()


@pytest.mark.parametrize("given", ["x, n, more=1", "*all", "x, *others", "x, n, *, more=1"])
def test_any_function_that_can_be_called_is_accepted(file, given):
    file.write_text(f"def tower({given}):\n    return 1\n")
    assert source(f"{file}:tower", ("stamps", "network")) == file


def test_a_term_of_ones_own_reruns_only_the_methods_that_name_it(thesis, tmp_path, repository):
    losses = thesis / "losses.py"
    losses.write_text(SWD)
    alignment = {"kind": "own", "function": "thesis/losses.py:swd", "parameters": {"scale": 2}}
    method = {"domains": ["simulated", "survey"], "alignment": alignment}
    preset = tmp_path / "mine.yaml"
    preset.write_text(
        yaml.safe_dump(
            {
                "methods": ["baseline", "mine"],
                "predictor": {"method": "mine"},
                "method_settings": {"mine": method},
            }
        )
    )

    def settings():
        experiment = load(repository / "config/config.yaml", preset)
        return {name: training(experiment, name) for name in ("baseline", "mine")}

    before = settings()
    losses.write_text(SWD.replace("default_rng(0)", "default_rng(1)"))
    after = settings()
    assert before["baseline"] == after["baseline"]
    assert before["mine"] != after["mine"]
    losses.write_text(SWD.replace("survey, settings", "survey"))
    with pytest.raises(
        ConfigError, match=r"mine\.alignment\.function: .*is called with \(features"
    ):
        settings()


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


BODY = "from keras import layers, ops\n\n\ndef tower(x, network):\n    "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("layers.Flatten()(x)\n    return [x][1]", "IndexError in line 6: list index"),
        ("y = None\n    return y", "returns None; return one tensor"),
        ("return x, x", "returns a tuple; return one tensor"),
        (
            "return layers.Conv2D(2, 3)(x)",
            r"returns features of shape \(n, 14, 14, 2\), not \(n, f\); end it",
        ),
        (
            "return layers.Reshape((1, -1))(x)",
            r"returns features of shape \(n, 1, 256\), not \(n, f\)",
        ),
        ("return layers.Dense(3, name='answer')(layers.Flatten()(x))", "ValueError: .*answer"),
        (
            "return layers.Flatten()(layers.Lambda(lambda y: y * 2)(x))",
            "once saved it could not be opened again: it has a Lambda layer",
        ),
        (
            "return layers.Dense(3, activation=lambda y: y * 2)(layers.Flatten()(x))",
            "once saved it could not be opened again",
        ),
    ],
)
def test_a_network_is_tried_before_training(file, body, message):
    from galadapt.learners.keras import networks

    file.write_text(f"{BODY}{body}\n")
    method = Method(network={"architecture": f"{file}:tower"})
    with pytest.raises(ConfigError, match=rf"mine\.py:tower: {message}"):
        networks.check(method, 16, 1)


@pytest.mark.parametrize("each", [False, True])
def test_a_network_of_functions_of_keras_ops_is_accepted(file, each):
    from galadapt.learners.keras import networks

    file.write_text(f"{BODY}return ops.mean(ops.abs(layers.Conv2D(4, 3)(x)), axis=(1, 2))\n")
    method = Method(network={"architecture": f"{file}:tower", "per_parameter": each})
    networks.check(method, 16, 1)
    model = networks.build(method.network, 16, 3, 0.0, 1.0)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ops.mean(features, axis=0)", r"returns an array of shape \(6,\)"),
        ("float('nan') * ops.mean(features)", "returns nan for random features"),
        ("ops.mean(features @ survey)", "in line 5: "),
        ("settings.parameters['width']", "KeyError in line 5: 'width'"),
        ("float(ops.mean(features)) * ops.mean(features)", "in line 5: "),
    ],
)
def test_a_term_of_ones_own_is_tried_before_training(file, value, message):
    from galadapt.learners.keras.alignment import check_own

    file.write_text(
        "from keras import ops\n\n\ndef term(features, simulated, survey, settings):\n"
        f"    return {value}\n"
    )
    with pytest.raises(ConfigError, match=rf"mine\.py:term: .*{message}"):
        check_own(OwnAlignment(function=f"{file}:term"), 6)


def test_the_example_of_a_loss_compares_the_means(repository):
    from galadapt.learners.keras.alignment import AlignmentLoss, check_own

    path = f"{repository}/examples/losses.py:means"
    settings = OwnAlignment(function=path, parameters={"scale": 2.0})
    check_own(settings, 5)
    features = np.array([[0, 0], [2, 0], [3, 4], [5, 4]], np.float32)
    loss = AlignmentLoss(settings)(np.array([0, 0, 1, 1]), features)
    assert float(loss) == pytest.approx(2 * (3**2 + 4**2))
