"""Random streams: one independent counter-based generator per galaxy and purpose."""

from __future__ import annotations

import numpy as np

from galadapt.core.random import generator

#: Purposes of streams. Their numbers decide every simulated byte: never reuse or reorder them.
PURPOSES = {
    "parameters": 0,
    "noise": 1,
    # One purpose per ingredient of realism: switching one on changes no other draw.
    "bulge_disc": 16,
    "clumps": 17,
    "spiral": 18,
    "neighbours": 19,
    "psf_jitter": 20,
    "depth_jitter": 21,
    "sky_residual": 22,
    "archive_box": 23,
    "archive_masks": 24,
    "over_subtraction": 25,
    "missing_edge": 26,
    "mosaic_noise": 27,
    # Which PSF of a set.
    "psf": 28,
}

INDEX_BITS = 48  #: an index fills the low bits of the second key word, the purpose the high ones


def stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Return the generator of galaxy `index` (0 to 2**48 - 1) for one of `PURPOSES`.

    Neither the order of the galaxies, nor their number, nor the sharding changes what any of them
    draws.
    """
    if not 0 <= index < 1 << INDEX_BITS:
        raise ValueError(f"index {index} must lie in [0, 2**{INDEX_BITS})")
    return generator(seed, PURPOSES[purpose] << (INDEX_BITS - 32), index)
