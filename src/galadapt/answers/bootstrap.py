"""The bootstrap: scatter of a figure with the choice of the test set (Efron 1979)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

#: Random stream of the bootstrap: the second key word of every generator made here.
_STREAM = 0xB0075

_RESAMPLES_AT_ONCE = 50


def resamples(count: int, number: int, seed: int) -> Iterator[np.ndarray]:
    """Yield resamples of `count` units as weights: how often each unit was drawn.

    A weighted sum then costs one row of a matrix product.

    Args:
        count: Units that are drawn with replacement (objects, or groups of them).
        number: Resamples in all.
        seed: Equal seeds give equal resamples.

    Yields:
        Integers of shape (k, count), each row adding up to `count`; k adds up to `number`.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, _STREAM]))
    for start in range(0, number, _RESAMPLES_AT_ONCE):
        size = min(_RESAMPLES_AT_ONCE, number - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size=size)


def central_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the central 68 % interval of the values that are not NaN; NaN when there is none."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.16, 0.84])
    return float(low), float(high)


def intervals(draws: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the `central_interval` of each figure as ``<figure>_low`` and ``<figure>_high``."""
    found: dict[str, float] = {}
    for name, values in draws.items():
        found[f"{name}_low"], found[f"{name}_high"] = central_interval(values)
    return found
