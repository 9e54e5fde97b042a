"""Dry runs of Snakemake by forks of a process that has imported it.

Half of the time of a dry run is the import of Snakemake. A fork reads the Snakefile and the code
of its own project, as a new process does: nothing of galadapt may be imported here.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["snakemake.cli", "pandas", "pydantic"])


def dry_run(folder: Path, environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run `snakemake -n` in a folder.

    Returns:
        Its exit status, and what it printed, both streams together.
    """
    with tempfile.NamedTemporaryFile("r") as printed:
        given = (folder, dict(environment), ["-n", *arguments], printed.name)
        process = PROCESSES.Process(target=_main, args=given)
        process.start()
        process.join(timeout=600)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode, printed.read()


def _main(folder: Path, environment: dict[str, str], arguments: list[str], printed: str) -> None:
    from snakemake.cli import main

    assert "galadapt" not in sys.modules
    with Path(printed).open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # As the command `snakemake` has them: the paths of the tests are gone.
    sys.argv = ["snakemake", *arguments]
    sys.path[:] = [path for path in sys.path if Path(path) not in _TESTS]
    main(arguments)


_TESTS = {Path(__file__).parent, Path(__file__).parents[1]}
