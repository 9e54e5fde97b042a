"""A DVC repository as a store: packages are listed, fetched whole, or refused in a sentence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from onnx import NodeProto, TensorProto, helper

from galadapt.cli import main
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.provenance import file_digest
from galadapt.general.package import RELEASED
from galadapt.prediction import fetched, store
from galadapt.prediction.describe import listing, sheet
from galadapt.prediction.package import read_package

NAMES = ["deep", "paper/galaxies/asinh/transfer"]


def run(folder: Path, command: str, *arguments: str) -> None:
    if command == "dvc":
        from dvc.cli import main as dvc

        # In this process: half a second a command less than in one of its own.
        with contextlib.chdir(folder):
            assert dvc(arguments) == 0
        return
    who = {
        f"GIT_{role}_{what}": "t@t.t"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    line = [command, *arguments]
    subprocess.run(line, cwd=folder, check=True, env={**os.environ, **who}, capture_output=True)


def respell(folder: Path, **changes) -> None:
    """Change a package's record, and with it nothing else."""
    path = folder / "package.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def original(package, tmp_path_factory):
    """A repository with two packages, one broken record and a folder that is none, all pushed."""
    root = tmp_path_factory.mktemp("stores")
    repository = root / "original"
    repository.mkdir()
    run(repository, "git", "init", "-q", "-b", "main")
    run(repository, "dvc", "init", "-q")
    run(repository, "dvc", "remote", "add", "-q", "-d", "storage", str(root / "remote"))
    deep = repository / "models" / "deep"
    shutil.copytree(package, deep)
    respell(deep, licence="CC-BY-4.0\x1b[2J", survey="candels")
    outer = repository / "results/presets/paper/models"
    shutil.copytree(package, outer / "galaxies/asinh/transfer")
    broken = outer / "galaxies/asinh/broken"
    broken.mkdir()
    (broken / "package.json").write_text("{")
    (repository / "data").mkdir()
    (repository / "data" / "table.csv").write_text("a\n1\n")
    run(repository, "dvc", "add", "-q", "models/deep", "results/presets/paper/models", "data")
    run(repository, "dvc", "push", "-q")
    run(repository, "git", "add", "-A")
    run(repository, "git", "commit", "-qm", "packages")
    run(repository, "git", "tag", "first")
    return repository


@pytest.fixture
def clone(original, tmp_path) -> Path:
    """What a user has: the repository and its remote, none of the data."""
    folder = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(original), str(folder))
    assert not (folder / "models/deep").exists()
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GALADAPT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GALADAPT_MODELS", raising=False)
    return tmp_path / "home"


def left(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def spoil(clone: Path, original: Path, tmp_path: Path, name: str, change) -> None:
    """Give a clone a remote of its own, in which `change` has spoilt one file of a package."""
    wanted = md5(original / "models/deep" / name)
    remote = tmp_path / "spoilt"
    shutil.copytree(original.parent / "remote", remote)
    (file,) = remote.glob(f"files/md5/{wanted[:2]}/{wanted[2:]}")
    file.chmod(0o644)
    change(file)
    run(clone, "dvc", "remote", "modify", "storage", "url", str(remote))


def test_the_list_of_a_clone_without_data(clone):
    with store.opened(str(clone)) as opened:
        packages = opened.packages()
        broken = opened.broken
    assert [package.name for package in packages] == NAMES
    assert broken.keys() == {"paper/galaxies/asinh/broken"}
    assert "not valid JSON" in broken["paper/galaxies/asinh/broken"]
    assert not (clone / "models/deep").exists()


def test_an_address_is_a_store_and_its_clone_is_removed(original, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    with store.opened(original.as_uri()) as opened:
        assert len(opened.packages()) == 2
    assert list((tmp_path / "t").iterdir()) == []


def test_the_list_says_what_holds_for_what(clone, capsys, package):
    assert main(["models", "list", "--store", str(clone)]) == 0
    text, error = capsys.readouterr()
    head, deep, paper, *_ = text.splitlines()
    assert head.split()[:4] == ["name", "band", "PSF", "noise"]
    assert deep.startswith("deep ") and paper.startswith(NAMES[1])
    record = read_package(package).record
    survey = [quality for quality in record.quality if quality.domain == "survey"]
    assert " ".join(f"{quality.r2:.3f}" for quality in survey) in deep
    # A licence is somebody else's text: it must not steer the terminal.
    assert deep.endswith("CC-BY-4.0?[2J") and "\x1b" not in text
    assert "paper/galaxies/asinh/broken: package.json: not valid JSON" in error


def test_the_noise_is_a_surface_brightness(package):
    record = read_package(package).record
    # 0.005 e-/s per pixel of 0.06 arcsec, at 25.9463.
    row = listing([("one", record)]).splitlines()[1].split()
    assert row[3] == "25.6"
    assert "1 sigma is 25.6 mag/arcsec2" in sheet("one", record)
    assert "effective radius 0.09 to 0.24 arcsec" in sheet("one", record)


def test_quality_is_that_of_the_test_galaxies(package, sets):
    from sklearn.metrics import r2_score

    from galadapt.prediction.ensemble import Ensemble
    from galadapt.stamps.format import StampSet

    opened = read_package(package)
    with StampSet(sets["survey"]) as stamps:
        rows = stamps.rows("test")
        predicted = Ensemble.of_package(opened)(stamps.images(rows)).predicted
        table = stamps.table.iloc[rows]
    found = {q.parameter: q for q in opened.record.quality if q.domain == "survey"}
    for column, name in enumerate(opened.record.parameters):
        assert found[name].n == len(rows)
        assert found[name].r2 == pytest.approx(
            r2_score(table[name], predicted[:, column]), abs=1e-4
        )
    error = predicted[:, 0] - table["magnitude"]
    assert found["magnitude"].bias == pytest.approx(error.median(), abs=1e-4)


def test_fetched_is_what_was_offered(clone, original, home):
    folder = fetched.fetch("deep", str(clone))
    assert folder == home / "models/deep"
    assert sorted(path.name for path in folder.iterdir()) == [
        "member-1.onnx",
        "member-2.onnx",
        "package.json",
        "reference.parquet",
    ]
    for path in folder.iterdir():
        assert path.read_bytes() == (original / "models/deep" / path.name).read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == ["deep"]


def test_fetching_again_copies_nothing(clone, capsys):
    folder = fetched.fetch("deep", str(clone))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert fetched.fetch("models/deep", str(clone)) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert "already in" in capsys.readouterr().err


def test_another_one_of_the_name_needs_replace(clone, package, home):
    other = home / "models/deep"
    shutil.copytree(package, other)
    with pytest.raises(ConfigError, match=r"another package of this name.*--replace"):
        fetched.fetch("deep", str(clone))
    assert read_package(other).record.digest == read_package(package).record.digest
    fetched.fetch("deep", str(clone), replace=True)
    assert read_package(other).record.survey == "candels"
    assert [path.name for path in other.parent.iterdir()] == ["deep"]


def test_a_broken_one_is_mended_by_replace(clone, home):
    folder = fetched.fetch("deep", str(clone))
    (folder / "member-2.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"a broken package lies there.*member-2.*--replace"):
        fetched.fetch("deep", str(clone))
    read_package(fetched.fetch("deep", str(clone), replace=True))


def test_other_folders_are_left_alone(clone, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("all of it")
    with pytest.raises(ConfigError, match="holds something else"):
        fetched.fetch("deep", str(clone), output=mine, replace=True)
    assert (mine / "thesis.tex").read_text() == "all of it"
    inner = fetched.fetch("deep", str(clone), output=tmp_path / "new") / "inner"
    with pytest.raises(ConfigError, match="inside the package"):
        fetched.fetch("deep", str(clone), output=inner)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("member-2.onnx", truncate, "member-2.onnx: missing, or not the file"),
        ("reference.parquet", truncate, "reference.parquet: missing, or not the file"),
        ("member-1.onnx", Path.unlink, "member-1.onnx: cannot be fetched"),
        ("package.json", truncate, "not valid JSON"),
        ("package.json", Path.unlink, "package.json: cannot be fetched"),
    ],
)
def test_what_is_broken_is_refused_and_leaves_nothing(
    clone, original, home, tmp_path, name, change, message
):
    spoil(clone, original, tmp_path, name, change)
    with pytest.raises(DataError, match=message):
        fetched.fetch("deep", str(clone))
    assert left(home) == []


OPERATORS = ("", 17), ("com.example", 1)


def hostile(folder: Path, **changes) -> None:
    """Change members of a package so that its own digests still fit."""
    record = json.loads((folder / "package.json").read_text())
    for member in record["members"]:
        if (folder / member["file"]).is_file():
            member["digest"] = file_digest(folder / member["file"])
    record["members"][0].update(changes)
    respell(folder, members=record["members"])


def of_keras(folder: Path) -> None:
    """A Keras file with a layer of Python code, under the name of a member."""
    import keras

    inputs = keras.Input((32, 32, 1))
    outputs = keras.layers.Lambda(lambda x: x * 2)(inputs)
    keras.Model(inputs, outputs).save(folder / "code.keras")
    (folder / "code.keras").replace(folder / "member-1.onnx")
    hostile(folder)


def of_code(folder: Path) -> None:
    """A network of an operator that ONNX Runtime does not have, as Python code is named there."""
    network(folder, helper.make_node("PyOp", ["stamps"], ["answer"], domain="com.example"))


def reading_files(folder: Path) -> None:
    """A network whose weights are another file's bytes."""
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1], [0.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="reference.parquet")
    network(folder, helper.make_node("Add", ["stamps", "weight"], ["answer"]), weight)


def network(folder: Path, node: NodeProto, *weights: TensorProto) -> None:
    """Write a network of one node in place of the first member."""
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("stamps", "answer")
    ]
    graph = helper.make_graph([node], "network", tensors[:1], tensors[1:], list(weights))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid(*one) for one in OPERATORS])
    (folder / "member-1.onnx").write_bytes(made.SerializeToString())
    hostile(folder)


def features_changed(folder: Path) -> None:
    """Reference galaxies of another network, with a digest that fits."""
    path = folder / "reference.parquet"
    pd.read_parquet(path).drop(columns="f031").to_parquet(path)
    respell(folder, reference_digest=file_digest(path))


HOSTILE = {
    "keras": (of_keras, r"keras: refused: member-1\.onnx: no ONNX network that can be run"),
    "code": (of_code, r"code: refused: member-1\.onnx: no ONNX network .*PyOp"),
    "files": (reading_files, r"files: refused: member-1\.onnx: no ONNX network that can be run"),
    "above": (lambda folder: hostile(folder, file="../../member-1.onnx"), r"members\.0\.file"),
    "absolute": (lambda folder: hostile(folder, file="/etc/passwd"), r"members\.0\.file"),
    "nan": (lambda folder: respell(folder, pixel_rms=float("nan")), "pixel_rms"),
    "coloured": (lambda folder: respell(folder, parameters=["colour"]), "measures colour, not"),
    "features": (features_changed, r"reference\.parquet: \d+ features, the network has"),
}


@pytest.fixture(scope="module")
def hostiles(package, tmp_path_factory) -> Path:
    repository = tmp_path_factory.mktemp("hostile")
    run(repository, "dvc", "init", "-q", "--no-scm")
    for name, (change, _) in HOSTILE.items():
        shutil.copytree(package, repository / name)
        change(repository / name)
    run(repository, "dvc", "add", "-q", *HOSTILE)
    return repository


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_package_is_refused(hostiles, home, name):
    with pytest.raises(DataError, match=HOSTILE[name][1]):
        fetched.fetch(name, str(hostiles))
    assert left(home) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deeep", "no package 'deeep'; did you mean deep?"),
        ("transfer", f"did you mean {NAMES[1]}"),
        ("quasars", "it has deep, paper"),
        ("../../etc", "no package '../../etc'"),
        ("/models/deep", "did you mean deep?"),
        ("", "no package ''"),
        ("paper/galaxies/asinh/broken", "not valid JSON"),
    ],
)
def test_unknown_names(clone, home, name, message):
    with pytest.raises(DataError) as error:
        fetched.fetch(name, str(clone))
    assert message in str(error.value)
    assert left(home) == []


def test_no_store(tmp_path, original, monkeypatch, capsys):
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").write_text("")
    for name, message in [
        ("nowhere", "no DVC repository that can be opened"),
        ("plain", "plain: no DVC repository; check its name"),
        ("file", "a file, where a DVC repository"),
    ]:
        assert main(["models", "list", "--store", str(tmp_path / name)]) == 3
        assert message in capsys.readouterr().err
    assert main(["models", "list", "--store", str(original), "--rev", "second"]) == 3
    assert "no revision 'second'; correct --rev" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["models", "list"]) == 3
    assert "name one with --store or GALADAPT_MODELS" in capsys.readouterr().err


def test_a_revision_and_the_setting(clone, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALADAPT_MODELS", str(clone))
    run(clone, "git", "rm", "-q", "models/deep.dvc")
    with store.opened() as opened:
        assert NAMES[0] not in [package.name for package in opened.packages()]
    with store.opened(rev="first") as opened:
        assert NAMES[0] in [package.name for package in opened.packages()]


def test_what_was_not_pushed_is_named(clone, capsys, tmp_path):
    run(clone, "dvc", "remote", "modify", "storage", "url", str(tmp_path / "gone"))
    assert main(["models", "list", "--store", str(clone)]) == 0
    text, error = capsys.readouterr()
    assert text == ""
    assert "no package there" in error
    assert "neither cache nor remote has them: data, models/deep, results/presets/paper" in error


def test_names_that_meet_are_paths(package, tmp_path):
    repository = tmp_path / "twice"
    repository.mkdir()
    run(repository, "dvc", "init", "-q", "--no-scm")
    for folder in ("models/one", "results/one", "models/two"):
        shutil.copytree(package, repository / folder)
    run(repository, "dvc", "add", "-q", "models", "results")
    with store.opened(str(repository)) as opened:
        assert [package.name for package in opened.packages()] == [
            "models/one",
            "results/one",
            "two",
        ]


def test_packages_are_found_by_name_and_no_other_one_is_taken(clone, package, tmp_path, home):
    """What was made or fetched suits some images: which, the user says."""
    first = fetched.fetch("deep", str(clone))
    assert fetched.locate("deep") == first
    assert fetched.locate(None) == RELEASED
    # What is still being written is none.
    shutil.copytree(package, home / "models/.new-1" / "new")
    assert list(fetched.fetched()) == ["deep"]


def test_predict_says_what_it_measures_with(clone, sets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["predict", "--stamps", str(sets["survey"]), "-o", "out.csv"]
    # The released package is for any image, so it must be given the PSF of these.
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("galadapt: --psf: ")
    folder = fetched.fetch("deep", str(clone))
    capsys.readouterr()
    assert main([*arguments, "--model", "deep"]) == 0
    error = capsys.readouterr().err
    assert error.startswith(f"{folder}: networks for F160W images with a PSF of 0.1")
    assert "noise of 25.6 mag/arcsec2" in error
    assert "valid for magnitude 19.0 to " in error


def test_show_reads_folders_fetched_ones_and_stores(clone, package, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["models", "show", "deep", "--store", str(clone)]) == 0
    remote = capsys.readouterr().out
    folder = fetched.fetch("deep", str(clone))
    for name in ("deep", str(folder)):
        assert main(["models", "show", name]) == 0
        assert capsys.readouterr().out.splitlines()[1:] == remote.splitlines()[1:]
    assert "please cite  Someone et al. 2026" in remote
    assert "adapted to   none" in remote
    assert "in 68 % errors" in remote
    assert main(["models", "show", str(tmp_path)]) == 3
    assert "no prediction package here" in capsys.readouterr().err
