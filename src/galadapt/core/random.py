"""Counter-based random numbers: independent generators keyed by seed, purpose and index."""

from __future__ import annotations

import numpy as np


def generator(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """Return the generator of a purpose (1 to 2**32 - 1, of the caller's own list) and an index.

    Streams of different keys are independent (Salmon et al. 2011). `galadapt.simulation.streams`
    names the purposes of the simulations, which need more room for indices.
    """
    return np.random.Generator(np.random.Philox(key=[seed, (purpose << 32) + index]))
