"""The furniture of the project: one version, readable files, recipes that fit the checkout."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

import galadapt

REPOSITORY = Path(__file__).parents[2]

LIBRARY = REPOSITORY / "src" / "galadapt"

#: Instructions that a Dockerfile may hold.
INSTRUCTIONS = {"FROM", "RUN", "ENV", "WORKDIR", "COPY", "ENTRYPOINT", "CMD"}


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    meta = json.loads((REPOSITORY / "codemeta.json").read_text())
    assert citation["version"] == meta["version"] == galadapt.__version__
    assert re.search(rf"^## {re.escape(galadapt.__version__)}", changelog(), re.MULTILINE)
    assert citation["license"] == "BSD-3-Clause"


def changelog() -> str:
    return (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_changelog_keeps_its_form():
    versions = re.findall(r"^## (.*)$", changelog(), re.MULTILINE)
    assert versions[0] == "Unreleased"
    kinds = set(re.findall(r"^### (.*)$", changelog(), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_front_page_is_short_and_names_no_internal_key():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert not re.search(r"\bR[1-5]\b", text)
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert (REPOSITORY / picture).stat().st_size < 200_000


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".github/ISSUE_TEMPLATE/fault.yml",
        ".github/ISSUE_TEMPLATE/idea.yml",
        ".pre-commit-config.yaml",
        ".snakemake-workflow-catalog.yml",
    ],
)
def test_files_of_services_can_be_read(path):
    assert yaml.safe_load((REPOSITORY / path).read_text())


def test_hosted_ci_runs_what_ci_runs():
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["check"]["steps"]]
    assert ".ci/run" in steps
    run = (REPOSITORY / ".ci/run").read_text()
    assert {"make lint", "make docs", "make test"} <= set(run.splitlines())


def instructions() -> list[list[str]]:
    text = (REPOSITORY / "containers/Dockerfile").read_text()
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]


def test_the_dockerfile_copies_what_is_there():
    assert {name for name, _ in instructions()} <= INSTRUCTIONS
    assert instructions()[0][0] == "FROM"
    for name, words in instructions():
        if name == "COPY":
            for source in shlex.split(words)[:-1]:
                assert (REPOSITORY / source).exists(), source
        if name in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(words), list)


def test_both_recipes_install_the_same_locked_environment():
    definition = (REPOSITORY / "containers/galadapt.def").read_text()
    docker = " ".join(words for name, words in instructions() if name == "RUN")
    for file in re.findall(r"envs/[\w.-]+", docker):
        assert (REPOSITORY / file).is_file()
        assert file in definition
    assert f"From: {dict(instructions()[:1])['FROM']}" in definition


@pytest.fixture(scope="module")
def imports() -> dict[Path, list[Path]]:
    """Files of the library, and those that each imports: anywhere in it, and for types alone."""
    command = ["ruff", "analyze", "graph", "--quiet", str(LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    graph = json.loads(done.stdout)
    return {
        Path(name).relative_to("src/galadapt"): [
            Path(other).relative_to("src/galadapt") for other in others
        ]
        for name, others in graph.items()
    }


def without_front(imports: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Leave out the package's front, which passes on names of `api` when they are asked for."""
    front = Path("__init__.py")
    return {
        name: [other for other in others if other != front]
        for name, others in imports.items()
        if name != front
    }


def test_no_file_imports_in_a_circle(imports):
    assert len(imports) > 300
    TopologicalSorter(without_front(imports)).prepare()


def test_a_room_imports_only_from_rooms_named_before_it(imports):
    page = (REPOSITORY / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    table = page.split("| rooms | content |")[1].split("\n\n")[0]
    named = [
        name
        for line in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", line[: line.index("|", 1)])
    ]
    assert len(named) == len(set(named))
    upwards = []
    for name, others in without_front(imports).items():
        room = name.parts[0].removesuffix(".py")
        if room == "__main__":
            continue
        for other in others:
            below = other.parts[0].removesuffix(".py")
            if named.index(below) > named.index(room):
                upwards.append(f"{name} imports {other}")
    assert upwards == []
