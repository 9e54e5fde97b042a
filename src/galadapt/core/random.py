"""Counter-based random numbers: independent generators keyed by seed, purpose and index."""

from __future__ import annotations

import numpy as np


def generator(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """Return the generator of one purpose and index, the same whatever was drawn before.

    Streams of different keys are independent (Salmon et al. 2011). `galadapt.simulation.streams`
    names the purposes of the simulations, which need more room for indices.

    Args:
        seed: Seed, 0 to 2**64 - 1.
        purpose: What is drawn, 1 to 2**32 - 1, from the caller's own list.
        index: Of the galaxy or epoch, 0 to 2**32 - 1.
    """
    return np.random.Generator(np.random.Philox(key=[seed, (purpose << 32) + index]))
