"""Drawing the parameters of simulated galaxies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from galadapt.config.simulation import (
    Empirical,
    LogUniform,
    MagnitudeRelation,
    Prior,
    Priors,
    Simulation,
)
from galadapt.core.errors import DataError
from galadapt.core.files import expand
from galadapt.core.quantity import PARAMETERS
from galadapt.core.tables import read_columns
from galadapt.simulation.streams import stream

#: Columns of a parameter table after `PARAMETERS`.
GEOMETRY = ("position_angle", "x_offset", "y_offset")


def to_step(value: float, step: float, low: float, high: float) -> float:
    """The multiple of a step that is nearest to a value, inside limits."""
    # Rounding to a step leaves 0.15000000000000002.
    return min(max(round(round(value / step) * step, 9), low), high)


def draw_parameters(simulation: Simulation, seed: int, start: int, stop: int) -> pd.DataFrame:
    """Draw galaxies [start, stop) of the global list.

    Each galaxy has its own random stream, so a row depends on the seed, its index and the priors,
    on nothing else.

    Returns:
        One row per galaxy: magnitude [mag], effective_radius [px, semi-major axis],
        sersic_index (rounded to the step: the rendered value is the label), ellipticity (1 - b/a),
        position_angle [deg, in [0, 180), counter-clockwise from +y], x_offset and y_offset [px].

    Raises:
        DataError: the catalogue of an empirical prior is missing, broken, or has no galaxy in the
            priors' ranges.
    """
    catalogues = _catalogues(simulation.priors)
    rows = np.array([_draw(simulation, catalogues, seed, index) for index in range(start, stop)])
    return pd.DataFrame(
        rows.reshape(stop - start, len(PARAMETERS) + len(GEOMETRY)),
        columns=[*PARAMETERS, *GEOMETRY],
    )


def _catalogues(priors: Priors) -> dict[str, pd.DataFrame]:
    """Read each catalogue once: its usable galaxies, one column per parameter drawn from it."""
    empirical = {
        name: prior for name in PARAMETERS if isinstance(prior := getattr(priors, name), Empirical)
    }
    tables = {}
    for path in {prior.path for prior in empirical.values()}:
        members = {name: prior for name, prior in empirical.items() if prior.path == path}
        file = expand(path)
        columns = read_columns(file, dict.fromkeys(p.column for p in members.values()))
        table = pd.DataFrame({name: columns[p.column] * p.factor for name, p in members.items()})
        inside = np.ones(len(table), bool)
        for name, prior in members.items():
            inside &= table[name].between(prior.low, prior.high).to_numpy()
        if not inside.any():
            raise DataError(
                f"{file}: no row lies within the priors of {', '.join(members)}; "
                "widen simulation.priors or correct column and factor"
            )
        tables[path] = table[inside].reset_index(drop=True)
    return tables


def _draw(
    simulation: Simulation, catalogues: dict[str, pd.DataFrame], seed: int, index: int
) -> list[float]:
    # Always the same number of draws in the same order: a changed prior of one parameter must not
    # move the others.
    unit = stream(seed, index, "parameters").random(len(PARAMETERS) + len(GEOMETRY))
    priors = simulation.priors
    values: dict[str, float] = {}
    chosen: dict[str, int] = {}
    for name, u in zip(PARAMETERS, unit[: len(PARAMETERS)], strict=True):
        prior = getattr(priors, name)
        if isinstance(prior, Empirical):
            table = catalogues[prior.path]
            # The first parameter of a catalogue picks the galaxy, the others are that galaxy's.
            row = chosen.setdefault(prior.path, int(u * len(table)))
            values[name] = float(table[name].to_numpy(float)[row])
        else:
            values[name] = _from_unit(prior, u, values.get("magnitude", 0.0))
    step = simulation.sersic_index_step
    if step > 0:
        limits = priors.sersic_index
        values["sersic_index"] = to_step(values["sersic_index"], step, limits.low, limits.high)
    angle, x_unit, y_unit = unit[len(PARAMETERS) :]
    offset = simulation.max_offset
    return [
        *values.values(),
        180.0 * angle,
        offset * (2.0 * x_unit - 1.0),
        offset * (2.0 * y_unit - 1.0),
    ]


def _from_unit(prior: Prior | MagnitudeRelation, unit: float, magnitude: float) -> float:
    if isinstance(prior, MagnitudeRelation):
        # A normal law in log10 r_e cut at the limits: its quantile function at `unit`.
        middle = np.log10(prior.median) + prior.slope * (magnitude - prior.at_magnitude)
        cuts = (np.log10([prior.low, prior.high]) - middle) / prior.scatter
        # In the lower tail, where the law's integral keeps its digits.
        sign = -1.0 if cuts.sum() > 0 else 1.0
        below, above = ndtr(sign * cuts)
        value = 10 ** (middle + prior.scatter * sign * ndtri(below + (above - below) * unit))
    elif isinstance(prior, LogUniform):
        value = prior.low * (prior.high / prior.low) ** unit
    else:
        value = prior.low + (prior.high - prior.low) * unit
    # Rounding errors must not leave the range: rendering is undefined outside.
    return float(min(max(value, prior.low), prior.high))
