"""Drawing the parameters of simulated galaxies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galadapt.config import PARAMETERS, Prior, Simulation
from galadapt.simulation.streams import stream

#: Columns of a parameter table after `PARAMETERS`.
GEOMETRY = ("position_angle", "x_offset", "y_offset")

# Rounding leaves 0.15000000000000002; labels are cut to digits nobody needs.
_DIGITS = 9


def draw_parameters(simulation: Simulation, seed: int, start: int, stop: int) -> pd.DataFrame:
    """Draw galaxies [start, stop) of the global list.

    Each galaxy has its own random stream, so a row depends on the seed, its index and the priors,
    on nothing else.

    Args:
        simulation: Priors, rounding step of the Sersic index and largest offset.
        seed: Seed of the experiment.
        start: First index.
        stop: Index after the last one.

    Returns:
        One row per galaxy: magnitude [mag], effective_radius [px, semi-major axis],
        sersic_index (rounded to the step: the rendered value is the label), ellipticity (1 - b/a),
        position_angle [deg, in [0, 180), counter-clockwise from +y], x_offset and y_offset [px].
    """
    rows = np.array([_draw(simulation, seed, index) for index in range(start, stop)])
    return pd.DataFrame(
        rows.reshape(stop - start, len(PARAMETERS) + len(GEOMETRY)),
        columns=[*PARAMETERS, *GEOMETRY],
    )


def _draw(simulation: Simulation, seed: int, index: int) -> list[float]:
    # Always the same number of draws in the same order: a changed prior of one parameter must not
    # move the others.
    unit = stream(seed, index, "parameters").random(len(PARAMETERS) + len(GEOMETRY))
    priors = simulation.priors
    values = {
        name: _from_unit(getattr(priors, name), u)
        for name, u in zip(PARAMETERS, unit[: len(PARAMETERS)], strict=True)
    }
    step = simulation.sersic_index_step
    if step > 0:
        limits = priors.sersic_index
        nearest = round(round(values["sersic_index"] / step) * step, _DIGITS)
        values["sersic_index"] = min(max(nearest, limits.low), limits.high)
    angle, x_unit, y_unit = unit[len(PARAMETERS) :]
    offset = simulation.max_offset
    return [
        *values.values(),
        180.0 * angle,
        offset * (2.0 * x_unit - 1.0),
        offset * (2.0 * y_unit - 1.0),
    ]


def _from_unit(prior: Prior, unit: float) -> float:
    if prior.distribution == "loguniform":
        value = prior.low * (prior.high / prior.low) ** unit
    else:
        value = prior.low + (prior.high - prior.low) * unit
    # Rounding errors must not leave the range: rendering is undefined outside.
    return float(min(max(value, prior.low), prior.high))
