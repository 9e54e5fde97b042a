"""The real DAG on a copy of the repository, where every task's experiment is its smoke preset."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from planner import dry_run

from galadapt.config.base import merge
from galadapt.tasks import registry
from galadapt.tasks.reading import of_task

#: Milestones of the default task, as dvc.yaml names them, and Snakemake's record of jobs.
MILESTONES = ("data", "models", "tables", "record")

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    # A copy must run its own code, not the checkout that is installed in the environment.
    "PYTHONPATH": "",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@localhost",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@localhost",
    "DVC_NO_ANALYTICS": "1",
}


@dataclass
class Project:
    """A copy of the repository to run commands in."""

    folder: Path

    def run(self, *command: str, check: bool = True, timeout: float = 1800) -> str:
        """Run a command and return what it printed, both streams together."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}")
        return done.stdout

    def snakemake(self, *arguments: str, cores: int = 2, check: bool = True) -> str:
        return self.run("snakemake", "--cores", str(cores), *arguments, check=check)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Dry-run and return how many jobs of each rule would run."""
        status, text = dry_run(self.folder, ENVIRONMENT, *arguments, "--quiet", "rules")
        assert status == 0, f"snakemake -n {' '.join(arguments)} exited {status}:\n{text}"
        return job_counts(text)

    def copy(self, folder: Path) -> Project:
        """Copy the whole project, finished results and Snakemake's records included."""
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.folder), str(folder)], check=True)
        return Project(folder)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace one piece of text in a file; it must be there."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} no longer holds {old!r}"
        file.write_text(text.replace(old, new, 1))

    def configure(self, of: str = registry.DEFAULT, /, **changes: object) -> None:
        """Merge changes into a task's configuration file."""
        path = self.folder / registry.config_file(of)
        values = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(merge(values, changes), sort_keys=False))

    def settings(self, of: str = registry.DEFAULT) -> dict:
        """Read a task's configuration file."""
        return yaml.safe_load((self.folder / registry.config_file(of)).read_text())

    def bytes_of(self, pattern: str) -> dict[str, bytes]:
        """Read every file under results that matches."""
        results = self.folder / "results"
        found = sorted(results.glob(pattern))
        assert found, f"nothing matches {pattern}"
        return {str(path.relative_to(results)): path.read_bytes() for path in found}


def job_counts(text: str) -> dict[str, int]:
    """Parse Snakemake's job table without the targets, which are no jobs."""
    if "Nothing to be done" in text:
        return {}
    table = re.search(r"^job +count\n[- ]+\n((?:\S+ +\d+\n)+)", text, re.MULTILINE)
    assert table, f"no job table in:\n{text}"
    rows = (line.split() for line in table.group(1).splitlines())
    targets = ("all", "data", "models", "measure", "default", "total", *registry.TASKS)
    return {name: int(count) for name, count in rows if name not in targets}


def new_project(repository: Path, folder: Path, **changes: object) -> Project:
    """Copy what git knows of the repository (and new files) into a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for name in listed:
        source = repository / name
        if source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    project = Project(folder)
    for task in registry.TASKS:
        preset = "smoke" if task == registry.DEFAULT else f"{task}_smoke"
        smoke = yaml.safe_load((folder / "config" / "presets" / f"{preset}.yaml").read_text())
        own = project.settings(task)["results"]
        project.configure(task, **of_task({"task": task, **smoke}, task) | {"results": own})
    # Two variants, so that a change of one can be seen to leave the other alone.
    project.configure(**{"variants": ["asinh", "div255"], **changes})
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "copy")
    return project
