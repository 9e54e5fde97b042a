"""How many stamps a second the trainer's `fit` learns from, and whether feeding holds it up.

Every combination of network, batch size, precision and feeding is trained on random stamps, and
beside it a training that is given the same batch again and again, from which nothing need be
gathered, turned or (by rows) sent: `of_bare` is the share of that speed that real batches reach.
Epochs of both alternate; medians are compared. Compilation is left out.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.training import Compute, Method, Network
from galadapt.core.files import write_csv
from galadapt.core.quantity import PARAMETERS, SERSIC
from galadapt.learners.keras import backend


def measure(
    images: np.ndarray, labels: np.ndarray, method: Method, epochs: int, by_rows: bool
) -> tuple[float, float]:
    """Return stamps per second of real batches, and of one batch repeated."""
    import keras

    from galadapt.answers.numbers.answer import Numbers
    from galadapt.learners.data import Examples
    from galadapt.learners.keras import networks
    from galadapt.learners.keras.batches import Batches
    from galadapt.learners.keras.compiling import compiled

    class Repeated(keras.utils.PyDataset):
        """One step of a training, as often as there are steps."""

        def __init__(self, batches: Batches) -> None:
            super().__init__()
            self._step, self._length = batches[0], len(batches)

        def __len__(self) -> int:
            return self._length

        def __getitem__(self, step: int) -> Any:
            return self._step

    keras.utils.set_random_seed(1)
    target = Numbers(SERSIC).fitted(labels, None)
    once = np.ones(len(images), int)
    training = {"simulated": Examples(images, labels, np.arange(len(images)), once)}
    batches = Batches(training, target, method, 1, by_rows=by_rows)
    network = networks.build(method.network, images.shape[1], len(PARAMETERS))
    network = networks.in_precision(network, method.precision)
    model, _ = compiled(network, target, method, batches, by_rows)
    fed = {"real": batches, "bare": Repeated(batches)}
    seconds: dict[str, list[float]] = {name: [] for name in fed}
    for epoch in range(epochs + 1):
        for name, steps in fed.items():
            batches.draw(epoch)
            start = time.perf_counter()
            model.fit(steps, shuffle=False, verbose=0)
            seconds[name].append(time.perf_counter() - start)
    shown = len(batches) * method.batch_size
    real, bare = (shown / float(np.median(times[1:])) for times in seconds.values())
    return real, bare


def device() -> str:
    """Name what computes."""
    import keras

    return ", ".join(map(str, keras.distribution.list_devices())) or "cpu"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/training.csv"))
    parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "jax", "torch"))
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--architectures", nargs="+", default=["compact", "residual"])
    parser.add_argument("--side", type=int, default=32, help="of a network's stamps [px]")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--count", type=int, default=4096, help="stamps of an epoch")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs of each")
    options = parser.parse_args()
    compute = Compute(
        backend=options.backend,
        gpus_per_training=options.gpus,
        threads_per_training=options.threads,
    )
    backend.prepare(compute)
    random = np.random.default_rng(1)
    shape = (options.count, options.side, options.side, 1)
    images = random.standard_normal(shape, np.float32)
    labels = random.uniform(0.1, 1.0, (options.count, len(PARAMETERS)))
    rows = []
    for architecture, batch_size, precision, by_rows in itertools.product(
        options.architectures, options.batch_sizes, options.precisions, (False, True)
    ):
        method = Method(
            network=Network(architecture=architecture),
            batch_size=batch_size,
            precision=precision,
            augment="all",
        )
        real, bare = measure(images, labels, method, options.epochs, by_rows)
        rows.append(
            {
                "backend": options.backend,
                "device": device(),
                "architecture": architecture,
                "side": options.side,
                "batch_size": batch_size,
                "precision": precision,
                "stamps": "on device" if by_rows else "sent",
                "per_second": round(real, 1),
                "of_bare": round(real / bare, 3),
            }
        )
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    write_csv(options.output, table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
