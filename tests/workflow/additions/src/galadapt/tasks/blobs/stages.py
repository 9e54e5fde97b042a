"""Stages of the task blobs."""

from typing import Annotated

from galadapt.config.base import DOMAINS
from galadapt.core.stage import Output, Provenance, Wildcard, stage


@stage
def blob_stamps(
    domain: Annotated[str, Wildcard],
    count: int,
    seed: int,
    stamps: Output,
    provenance: Provenance,
) -> None:
    """Blobs of one domain."""
    import numpy as np
    import pandas as pd

    from galadapt.core.random import generator
    from galadapt.stamps.format import write_stamps

    rng = generator(seed, 1 + DOMAINS.index(domain))
    peak, width = rng.uniform(1, 3, count), rng.uniform(2, 5, count)
    y, x = np.mgrid[:16, :16] - 7.5
    images = peak[:, None, None] * np.exp(-(x**2 + y**2) / (2 * width[:, None, None] ** 2))
    images += rng.normal(0, 0.1, images.shape)
    splits = np.resize(["train", "train", "train", "validation", "test"], count)
    table = pd.DataFrame({"id": range(count), "split": splits, "peak": peak, "width": width})
    metadata = {"pixel_scale": 1.0, "zero_point": None, "band": "none", "domain": domain}
    write_stamps(stamps, [images.astype("float32")], table, {**metadata, "provenance": provenance})
