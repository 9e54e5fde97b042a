import ast
import re

import pytest

from galadapt.core import provenance
from galadapt.core.errors import GaladaptError
from galadapt.core.provenance import code_digest, code_modules, digest, environment, file_digest


def test_comments_docstrings_and_formatting_do_not_count():
    plain = "def f(x):\n    return x + 1\n"
    dressed = '# why\ndef f(\n    x,\n):\n    """Add one."""\n    return (x + 1)  # one more\n'
    assert code_digest(plain) == code_digest(dressed)


def test_what_is_said_of_a_setting_does_not_count():
    setting = 'class S(Section):\n    side: int = Field(2, ge=1, description="{}")\n'
    assert code_digest(setting.format("Side.")) == code_digest(setting.format("Side [px]."))
    assert code_digest(setting.format("")) != code_digest(setting.format("").replace("2", "4"))
    other = 'write(path, description="{}")\n'
    assert code_digest(other.format("one")) != code_digest(other.format("two"))


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return x + 2\n",
        "def g(x):\n    return x + 1\n",
        "def f(x, y=0):\n    return x + 1\n",
        "def f(x):\n    'doc'\n    'no doc'\n    return x + 1\n",
    ],
)
def test_code_counts(other):
    assert code_digest("def f(x):\n    return x + 1\n") != code_digest(other)


def test_imports_are_followed_to_the_end():
    found = code_modules("from galadapt.simulation.engine import simulate_shard")
    for name in ("engine", "renderers", "psf", "priors", "noise", "streams"):
        assert f"galadapt.simulation.{name}" in found
    assert {"galadapt.stamps.format", "galadapt.core.files"} <= set(found)


def test_contract_modules_and_strangers_are_left_out():
    found = code_modules("import numpy\nfrom galadapt.simulation.engine import simulate_shard")
    assert not [name for name in found if provenance.NOT_HASHED.fullmatch(name)]
    assert all(name.startswith("galadapt.") for name in found)


def test_simulation_variants_and_the_heavy_parts_do_not_meet():
    simulation = code_modules("from galadapt.simulation.engine import simulate_shard")
    variants = code_modules("from galadapt.stamps.preprocess import make_variant")
    heavy = ("learners", "answers", "plots", "pipeline", "evaluation", "surveys", "report")
    for name in simulation + variants:
        assert name.split(".")[1] not in heavy
    assert not any(name.startswith("galadapt.simulation") for name in variants)
    assert not any(name == "galadapt.stamps.preprocess" for name in simulation)


def test_every_way_of_importing_is_seen():
    expected = code_modules("from galadapt.stamps.preprocess import make_variant")
    assert "galadapt.stamps.preprocess" in expected
    for source in (
        "import galadapt.stamps.preprocess",
        "from galadapt.stamps import preprocess",
        "def f():\n    from galadapt.stamps.preprocess import apply_chain\n",
    ):
        assert set(expected) <= set(code_modules(source)), source


def test_no_module_hides_an_import_behind_a_relative_one():
    # Digests follow absolute imports only.
    for path in provenance.ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A throw-away package in the place of galadapt: main imports one of two modules."""
    folder = tmp_path / "toy"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "used": "def f():\n    return 1\n",
        "unused": "def g():\n    return 1\n",
        "main": "from toy.used import f\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(provenance, "ROOT", folder)
    monkeypatch.setattr(provenance, "PACKAGE", "toy")
    monkeypatch.setattr(provenance, "NOT_HASHED", re.compile("toy"))

    def forget():
        for cached in (code_digest, provenance._module, provenance._parsed):
            cached.cache_clear()

    def measure():
        forget()
        return code_digest("import toy.main")

    yield folder, measure
    forget()


def test_editing_an_imported_module_counts_and_another_does_not(package):
    folder, measure = package
    before = measure()
    (folder / "unused.py").write_text("def g():\n    return 2\n")
    assert measure() == before
    (folder / "used.py").write_text('"""Doc."""\n\n\ndef f():\n    return 1  # one\n')
    assert measure() == before
    (folder / "used.py").write_text("def f():\n    return 2\n")
    assert measure() != before


def test_a_data_file_that_a_module_names_counts(package):
    folder, measure = package
    (folder / "used.py").write_text("TABLE = 'table.csv'\n\n\ndef f():\n    return TABLE\n")
    before = measure()
    (folder / "other.csv").write_text("a\n")
    assert measure() == before
    (folder / "table.csv").write_text("a\n1\n")
    with_table = measure()
    assert with_table != before
    (folder / "table.csv").write_text("a\n2\n")
    assert measure() != with_table


def test_all_files_of_a_folder_that_a_module_names_count(package):
    folder, measure = package
    (folder / "used.py").write_text("TABLES = 'tables'\n\n\ndef f():\n    return TABLES\n")
    (folder / "tables").mkdir()
    before = measure()
    (folder / "tables" / "a.csv").write_text("a\n")
    with_table = measure()
    assert with_table != before
    (folder / "tables" / "__init__.py").write_text("")
    assert measure() == before


def test_published_figures_and_templates_count():
    files = [
        file.name
        for module in ("tasks/galaxies/words", "evaluation/compare", "report/build")
        for file in provenance._data_files(
            ast.parse((provenance.ROOT / f"{module}.py").read_text()),
            (provenance.ROOT / f"{module}.py").parent,
        )
    ]
    assert set(files) == {"published.csv", "comparison.html", "report.html", "report.css"}


def test_what_only_the_type_checker_imports_does_not_count(package):
    folder, measure = package
    before = measure()
    text = "from typing import TYPE_CHECKING\nfrom toy.used import f\n"
    (folder / "main.py").write_text(f"{text}if TYPE_CHECKING:\n    from toy.unused import g\n")
    first = measure()
    assert first != before
    (folder / "unused.py").write_text("def g():\n    return 2\n")
    assert measure() == first


def test_a_missing_module_is_named():
    with pytest.raises(GaladaptError, match=r"galadapt\.nowhere: no such module"):
        code_digest("import galadapt.nowhere")


def test_digest_of_values():
    assert digest({"a": 1, "b": 2.5}) == digest({"b": 2.5, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest([])) == 16


def test_file_digest(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    # SHA-256 of "abc", FIPS 180-2, appendix B.1.
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_environment_names_versions():
    import numpy

    found = environment(["numpy"])
    assert found["numpy"] == numpy.__version__
    assert {"python", "machine", "system"} <= set(found)


def test_what_was_parsed_is_kept_by_content(tmp_path, monkeypatch):
    module = tmp_path / "module.py"
    module.write_text("from galadapt.core import files\nNAME = 'page.html'\n")
    (tmp_path / "page.html").write_text("a page")
    place = tmp_path / "__pycache__" / "digests.json"
    first = provenance._Parsed(place)
    found = first.of(module)
    assert found[1:] == (
        ["galadapt", "galadapt.core", "galadapt.core.files"],
        ["page.html"],
    )
    first.keep()
    with monkeypatch.context() as patch:
        patch.setattr(provenance.ast, "parse", lambda *_: pytest.fail("parsed again"))
        assert provenance._Parsed(place).of(module) == found
    module.write_text(module.read_text() + "MORE = 1\n")
    assert provenance._Parsed(place).of(module)[0] != found[0]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": "of others", "known": 1}'])
def test_a_spoilt_memory_of_what_was_parsed_is_left_aside(tmp_path, content):
    module = tmp_path / "module.py"
    module.write_text("VALUE = 1\n")
    place = tmp_path / "digests.json"
    place.write_text(content)
    parsed = provenance._Parsed(place)
    assert parsed.of(module)[1:] == ([], [])
    parsed.keep()
    assert len(provenance._Parsed(place)) == 2


def test_a_new_module_makes_everything_be_parsed_again(tmp_path, monkeypatch):
    """An import of a name means a module once there is one."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    before = provenance._Parsed(tmp_path / "digests.json")["version"]
    (tmp_path / "new.py").write_text("")
    assert provenance._Parsed(tmp_path / "digests.json")["version"] != before


def test_no_variable_of_another_program_is_recorded(monkeypatch):
    monkeypatch.setenv("TF_VAR_password", "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    variables = environment([])["variables"]
    assert variables["OMP_NUM_THREADS"] == "3"
    assert "hunter2" not in str(variables)
