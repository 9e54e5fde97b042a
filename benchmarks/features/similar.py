"""Search time and memory of `galadapt similar`: random features of so many stamps.

Usage: python benchmarks/features/similar.py [--stamps 1000000] [--features 128]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from galadapt.core.distances import METRICS
from galadapt.prediction.similar import Index

_BLOCK = 50_000


def write_index(folder: Path, count: int, width: int) -> np.ndarray:
    """Write an index of normal features into a folder; return the first stamp's."""
    random = np.random.default_rng(1)
    shape = (count, width)
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, shape)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        features[start:stop] = random.standard_normal((stop - start, width), np.float32)
    features.flush()
    about = {"key": "", "mean": [0.0] * width, "width": [1.0] * width}
    (folder / "index.json").write_text(json.dumps(about))
    return np.array(features[0], np.float64)


def main() -> None:
    """Print the time of a search by each distance, and the memory of the process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stamps", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=128)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        query = write_index(folder, arguments.stamps, arguments.features)
        index = Index(folder)
        print(f"{len(index)} stamps, {arguments.features} features, {index_size(folder):.0f} MiB")
        for distance in METRICS:
            wall, cpu = time.monotonic(), time.process_time()
            rows, _ = index.nearest(query, 12, distance)
            assert rows[0] == 0
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            print(f"{distance}: {wall:.2f} s ({cpu:.2f} s of CPU time)")
    # Anonymous memory alone: pages of the mapped file are the system's to take back.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"resident at most: {peak:.0f} MiB, pages of the file included")


def index_size(folder: Path) -> float:
    """Size of the file of the features [MiB]."""
    return (folder / "features.npy").stat().st_size / 2**20


if __name__ == "__main__":
    main()
