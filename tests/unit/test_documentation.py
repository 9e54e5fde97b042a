"""README and docs name only files, commands, options, targets and presets that exist."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml

from galadapt.cli import parser

REPOSITORY = Path(__file__).parents[2]

PAGES = sorted(
    path
    for path in [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
        *REPOSITORY.glob("examples/*.md"),
    ]
    if "_build" not in path.parts and "_generated" not in path.parts
)

_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(`{3,}|:{3,})(.*?)\n(.*?)^\1\s*$", re.DOTALL | re.MULTILINE)


def page_ids(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def blocks(path: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block of a page."""
    found = _FENCE.findall(path.read_text(encoding="utf-8"))
    return [(language.strip(), text) for _, language, text in found]


def commands(path: Path) -> list[str]:
    """The commands of a page's shell blocks, continued lines joined, comments removed."""
    lines: list[str] = []
    for language, text in blocks(path):
        if language in ("", "sh", "bash", "console"):
            joined = re.sub(r"\\\n\s*", " ", text)
            lines += [line.strip().removeprefix("$ ") for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@cache
def targets() -> set[str]:
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert phony is not None
    return {*phony[1].split(), "stars", "screening", "votes"}


@cache
def rules() -> set[str]:
    texts = [path.read_text("utf-8") for path in REPOSITORY.glob("workflow/**/*.smk")]
    texts.append((REPOSITORY / "Snakefile").read_text("utf-8"))
    named = {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)}
    return named | {"all", "stars", "screening", "votes", "galaxies"}


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_links_lead_to_files_that_are_there(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for groups in _LINK.findall(text):
        target = next(filter(None, groups))
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        path = page.parent / target.partition("#")[0]
        assert path.exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_commands_can_be_run_as_they_stand(page):
    for line in commands(page):
        for part in re.split(r"\s(?:&&|\|)\s", line):
            assert_runnable(shlex.split(part, comments=True))


def assert_runnable(words: list[str]) -> None:
    """Fail if a command names an unknown target, preset, command, option or repository file."""
    if not words:
        return
    name, given = words[0], words[1:]
    for word in words:
        preset = re.fullmatch(r"PRESET=(\w+)", word)
        if preset:
            assert (REPOSITORY / f"config/presets/{preset[1]}.yaml").is_file(), word
        if re.match(r"(config|docs|benchmarks|profiles|examples)/", word):
            assert (REPOSITORY / word).exists(), word
    if name == "make":
        unknown = {word for word in given if "=" not in word and not word.startswith("-")}
        assert unknown <= targets(), words
    elif name == "galadapt":
        # Names in capitals stand for what the reader puts there.
        parsed, unknown = parser().parse_known_args(given) if given[-1] != "--help" else (None, [])
        assert not unknown, f"galadapt has no {unknown}"
        if parsed is None and len(given) > 1:
            with pytest.raises(SystemExit) as ended:
                parser().parse_args(given)
            assert ended.value.code == 0
    elif name == "snakemake":
        for word in given:
            if re.fullmatch(r"[a-z_]+", word) and word not in ("all",):
                assert word in rules(), f"no rule {word}"


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_python_and_yaml_can_be_read(page):
    for language, text in blocks(page):
        if language == "python":
            assert_python(ast.parse(text))
        elif language == "yaml":
            yaml.safe_load(text)


def assert_python(tree: ast.AST) -> None:
    """Fail if a block uses a name or an argument that galadapt does not have."""
    import inspect

    import galadapt

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "galadapt":
            assert node.attr in galadapt.__all__, node.attr
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("galadapt."):
            called = getattr(galadapt, ast.unparse(node.func).split(".")[1])
            keywords = {one.arg: None for one in node.keywords}
            inspect.signature(called).bind(*node.args, **keywords)


SETTINGS = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (language, text) in enumerate(blocks(page))
    if language == "yaml"
]


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_of_the_pages_are_valid(text, tmp_path, monkeypatch):
    from galadapt.config.general import General
    from galadapt.general.recipe import read_recipe
    from galadapt.tasks.reading import load

    # Files of the repository are named relative to it.
    monkeypatch.chdir(REPOSITORY)
    (tmp_path / "mine.yaml").write_text(text)
    if set(yaml.safe_load(text)) == set(General.model_fields):
        assert read_recipe(tmp_path / "mine.yaml") != General()
        return
    assert list(load("config/config.yaml", tmp_path / "mine.yaml").runs())
