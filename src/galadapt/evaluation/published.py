"""R1's published R2 (CANDELS F160W stamps and GalSim simulations), for orientation.

R1 tested on other data than ours: the figures say what the recipe reached there, not what it must
reach here. Settings R1 did not publish (baseline after transfer on simulations) have no row.
"""

from __future__ import annotations

from importlib import resources

import pandas as pd

from galadapt.core.quantity import PARAMETERS


def published() -> dict[tuple[str, str], dict[str, float]]:
    """Return {(method, domain): {parameter: R2}}."""
    with resources.files("galadapt.evaluation").joinpath("published.csv").open() as stream:
        table = pd.read_csv(stream)
    return {
        (str(row["method"]), str(row["domain"])): {name: float(row[name]) for name in PARAMETERS}
        for row in table.to_dict("records")
    }
