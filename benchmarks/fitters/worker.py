"""Fits the stamps of a file one by one, in the fitters' environment, and prints what it finds.

Started by bench.py: ``worker.py METHOD STAMPS --first ROW --limit SECONDS``. One JSON object per
line: first {"version"}, then {"row"} before each galaxy and {"row", "seconds", "values" or
"reason"} after it. A galaxy that takes longer than the limit ends the process by a signal, which
stops compiled code too; bench.py counts it as failed and goes on behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

#: A galaxy that waits (or shares its core) may take this many times the limit by the clock.
PATIENCE = 20

NOT_INSTALLED = 3


def main() -> int:
    """Fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method")
    parser.add_argument("stamps", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--limit", type=float, default=60.0)
    arguments = parser.parse_args()
    # Fitters print; their words must not mix with the results.
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def tell(**what: Any) -> None:
        results.write(json.dumps(what) + "\n")

    import numpy as np

    with np.load(arguments.stamps, allow_pickle=False) as file:
        given = {name: file[name] for name in file.files}
    try:
        from adapters import ADAPTERS, version
        from start import prepare

        tell(version=version(arguments.method))
    except ImportError as error:
        print(f"{arguments.method}: not installed ({error})", file=sys.stderr)
        return NOT_INSTALLED
    fit = ADAPTERS[arguments.method]

    def measure(image: np.ndarray, pixel_rms: float) -> tuple[float, ...]:
        task = prepare(
            image,
            pixel_rms,
            float(given["exposure_time"]),
            bool(given["crowded"]),
            given["effective_psf"],
            given["bare_psf"],
        )
        return fit(task)

    warnings.simplefilter("ignore")
    # Imports and caches of the first fit are no galaxy's.
    side = given["images"].shape[1]
    offsets = np.indices((side, side)) - (side - 1) / 2
    with contextlib.suppress(Exception):
        measure(np.exp(-(offsets**2).sum(axis=0) / 50), 0.01)
    for row in range(arguments.first, len(given["images"])):
        tell(row=row)
        signal.setitimer(signal.ITIMER_PROF, arguments.limit)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE * arguments.limit)
        start = time.process_time()
        outcome: dict[str, Any]
        try:
            values = [
                float(value)
                for value in measure(given["images"][row], float(given["pixel_rms"][row]))
            ]
            positive = all(np.isfinite(values)) and min(values[:3]) > 0
            outcome = {"values": values} if positive else {"reason": "not finite"}
        except Exception as error:
            outcome = {"reason": f"{type(error).__name__}: {error}"[:200]}
        seconds = time.process_time() - start
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        tell(row=row, seconds=seconds, **outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
