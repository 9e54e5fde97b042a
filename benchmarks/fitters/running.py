"""Running the workers: one process at a time, failures counted, finished fits kept.

What a fitter finds is appended line by line to a file whose name holds a digest of the stamps and
of the adapters: an interrupted benchmark goes on where it stopped, and a changed one starts anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.core.errors import RunError
from galadapt.core.files import read_table, write_text
from galadapt.core.log import log, progress
from galadapt.core.photometry import magnitude_of
from galadapt.core.quantity import PARAMETERS

HERE = Path(__file__).parent

#: What decides a fit beside its stamps.
SOURCES = ("adapters.py", "sersic.py", "start.py")

#: Exit code of worker.py whose fitter is not installed.
NOT_INSTALLED = 3

SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Line = dict[str, Any]


def key(stamps: Path, limit: float) -> str:
    """Digest of all that decides what a fitter finds."""
    digest = hashlib.sha256(f"{limit:g}".encode())
    for path in (stamps, *(HERE / name for name in SOURCES)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def fit(
    python: Path, method: str, stamps: Path, count: int, limit: float, zero_point: float
) -> pd.DataFrame:
    """Fit every stamp of a condition with one code.

    Args:
        python: Interpreter of the fitters' environment.
        method: Name of an adapter.
        stamps: The condition's .npz.
        count: Number of its stamps.
        limit: CPU time a galaxy may take [s].
        zero_point: AB magnitude of 1 e-/s.

    Returns:
        One row per stamp: row, seconds (CPU), the parameters (NaN where the fit failed), reason.
        Empty, with the attribute ``note``, when the fitter cannot be run.
    """
    found = stamps.with_name(f"{stamps.stem}_{method}_{key(stamps, limit)}.jsonl")
    done = _read(found)
    label = f"{stamps.stem}: {method}"
    if len(done) < count:

        def measured() -> Iterator[Line]:
            with found.open("a", encoding="utf-8") as file:
                for line in lines(worker(python, method, stamps, limit), len(done), count, limit):
                    file.write(json.dumps(line) + "\n")
                    file.flush()
                    yield line

        try:
            done += list(progress(measured(), count - len(done), label, "galaxies"))
        except RunError as error:
            log.info(f"{label}: {error}")
            table = pd.DataFrame(columns=["row", "seconds", *PARAMETERS, "reason"])
            table.attrs["note"] = str(error)
            return table
    else:
        log.info(f"{label}: {count} fits kept from an earlier run")
    return outcomes(done, zero_point)


def worker(python: Path, method: str, stamps: Path, limit: float) -> Callable[[int], list[str]]:
    """Return what gives the command of a worker that starts at a row."""

    def command(first: int) -> list[str]:
        options = ["--first", str(first), "--limit", f"{limit:g}"]
        return [str(python), str(HERE / "worker.py"), method, str(stamps), *options]

    return command


def lines(
    command: Callable[[int], list[str]], first: int, count: int, limit: float
) -> Iterator[Line]:
    """Yield the outcome of rows `first` to `count`, restarting the worker behind what killed it.

    Raises:
        RunError: the fitter is not installed, or its worker dies before a galaxy.
    """
    environment = {**os.environ, **SINGLE, "PYTHONDONTWRITEBYTECODE": "1"}
    while first < count:
        begun: int | None = None
        # A pipe nobody reads would fill up with what fitters print, and stop them.
        with (
            tempfile.TemporaryFile("w+") as words,
            subprocess.Popen(
                command(first),
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                env=environment,
                cwd=HERE,
            ) as process,
        ):
            try:
                for text in process.stdout or ():
                    line = json.loads(text)
                    if "seconds" in line:
                        begun, first = None, line["row"] + 1
                        yield line
                    elif "row" in line:
                        begun = line["row"]
            except BaseException:
                process.kill()
                raise
            code = process.wait()
            words.seek(0)
            printed = words.read().strip().splitlines() or [f"exit code {code}"]
        if first >= count:
            return
        if begun is None:
            why = printed[-1]
            raise RunError(why if code == NOT_INSTALLED else f"its worker does not start ({why})")
        slow = code in (-signal.SIGPROF, -signal.SIGALRM)
        reason = f"longer than {limit:g} s" if slow else f"crashed (exit code {code})"
        yield {"row": begun, "seconds": limit if slow else float("nan"), "reason": reason}
        first = begun + 1


def outcomes(found: list[Line], zero_point: float) -> pd.DataFrame:
    """Turn a worker's lines into a table of magnitudes, radii, indices and ellipticities."""
    rows = []
    for line in found:
        flux, *rest = line.get("values", [np.nan] * 4)
        magnitude = magnitude_of(flux, zero_point)
        values = dict(zip(PARAMETERS, (magnitude, *rest), strict=True))
        rows.append(
            {"row": line["row"], "seconds": line["seconds"], **values}
            | {"reason": line.get("reason", "")}
        )
    return pd.DataFrame(rows)


def _read(path: Path) -> list[Line]:
    """Lines of an earlier run, as far as they are whole and in order."""
    found: list[Line] = []
    if path.is_file():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if line.get("row") != len(found):
                break
            found.append(line)
        write_text(path, "".join(json.dumps(line) + "\n" for line in found))
    return found


def measure(model: Path, stamps: Path, zero_point: float, fast: bool = False) -> pd.DataFrame:
    """Measure every stamp of a condition with galadapt, in a process of its own.

    `fast` leaves out the refinement by the pixels, of the package for any image.

    Raises:
        RunError: the networks cannot be read or do not fit.
    """
    name = "galadapt_fast" if fast else "galadapt"
    output = stamps.with_name(f"{stamps.stem}_{name}.parquet")
    done = subprocess.run(
        [
            *(sys.executable, str(HERE / "network.py"), str(model), str(stamps), str(output)),
            *(f"{zero_point:.17g}", *(["--fast"] if fast else [])),
        ],
        env={**os.environ, **SINGLE},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        printed = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunError(printed[-1])
    table = read_table(output)
    finite = np.isfinite(table[list(PARAMETERS)].to_numpy(float)).all(axis=1)
    table["reason"] = np.where(finite, "", "not finite")
    log.info(f"{stamps.stem}: {name}: {len(table)} galaxies")
    return table
