"""Whether the network for any image would gain by an image of the PSF, beside its description.

The released network is trained further twice on the same simulations, with a few layers more that
correct its outputs and start at 0. One of the two is given the PSF's image there, the other an
empty image. Both are then tested on galaxies of another seed, by the likelihood they were trained
with (lower is better) and by the scatter of each quantity.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.config.training import Compute
from galadapt.core.files import write_csv
from galadapt.core.log import log, to_stderr
from galadapt.general.package import NETWORK, RELEASED, read
from galadapt.general.release import SEEDS
from galadapt.general.run import E_SPREAD, SPREAD, P
from galadapt.general.simulate import Simulator, Stamps
from galadapt.learners.keras import backend

#: Side of the PSF's image [px], and the share of its peak from which on it is shown.
_SIDE, _LEAST = 32, 1e-4

_RATE = 1.0e-3


def pictures(stamps: Stamps, shown: bool) -> np.ndarray:
    """Images of the stamps' PSFs (n, s, s, 1) on a logarithmic scale, or empty ones."""
    if not shown:
        return np.zeros((len(stamps.images), _SIDE, _SIDE, 1), np.float32)
    first = (stamps.psfs.shape[1] - _SIDE) // 2
    middle = stamps.psfs[:, first : first + _SIDE, first : first + _SIDE]
    peak = middle.max(axis=(1, 2), keepdims=True)
    scaled = np.log10(np.maximum(middle / peak, _LEAST)) / 2 + 1
    return scaled[stamps.psf_index, ..., None].astype(np.float32)


def corrected(base: Any) -> Any:
    """The network with layers that correct its outputs, given its features and an image."""
    import keras
    from keras import layers

    image = keras.Input((_SIDE, _SIDE, 1), name="psf")
    x = layers.Conv2D(16, 5, strides=2, activation="relu")(image)
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(x)
    x = layers.Dense(64, activation="gelu")(layers.Flatten()(x))
    x = layers.Concatenate()([base.get_layer("features").output, x])
    for _ in range(2):
        x = layers.Dense(192, activation="gelu")(x)
    more = layers.Dense(base.outputs[0].shape[1], kernel_initializer="zeros")(x)
    return keras.Model([*base.inputs, image], layers.Add()([base.outputs[0], more]))


def trained(simulator: Simulator, steps: int, end: int, shown: bool) -> Any:
    """Train `steps` at a constant rate and `end` more at one that falls to 0."""
    import keras

    from galadapt.general import network, start
    from galadapt.general.train import prepared

    keras.utils.set_random_seed(1)
    first, _ = prepared(next(iter(simulator.batches(0))))
    base = network.build(first)
    start.load(base, RELEASED / NETWORK)
    model, number, done = corrected(base), 1, 0
    optimizer = keras.optimizers.Adam(_RATE, clipnorm=5.0)
    model.compile(optimizer, network.negative_log_likelihood)
    while True:
        for batch in simulator.batches(number):
            given, targets = prepared(batch)
            rate = _RATE * min(1.0, (done + 1) / 200, max(steps + end - done, 0) / end)
            optimizer.learning_rate.assign(rate)
            loss = model.train_on_batch([*given[:3], pictures(batch, shown)], targets)
            done += 1
            if done % 100 == 0:
                log.info(f"{'image' if shown else 'empty'}, step {done}: loss {float(loss):.3f}")
            if done == steps + end:
                return model
        number += 1


def tested(model: Any, simulator: Simulator, sets: int, shown: bool) -> dict[str, np.ndarray]:
    """Likelihood and errors of every test galaxy."""
    from galadapt.general import network
    from galadapt.general.train import prepared

    found: dict[str, list[np.ndarray]] = {"loss": [], "errors": []}
    for number in range(sets):
        for batch in simulator.batches(number):
            given, targets = prepared(batch)
            outputs = np.asarray(model([*given[:3], pictures(batch, shown)], training=False))
            rows = zip(targets, outputs, strict=True)
            found["loss"] += [
                np.asarray(network.negative_log_likelihood(one[None], other[None]))
                for one, other in rows
            ]
            error = (outputs[:, :P] - targets[:, :P]) * SPREAD
            e = (outputs[:, -2] - targets[:, P]) * E_SPREAD
            found["errors"].append(np.column_stack([error[:, [0, 1, 2]], e]))
    return {"loss": np.array(found["loss"]), "errors": np.concatenate(found["errors"])}


def main() -> int:
    """Train both, test both, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="at a constant rate")
    parser.add_argument("--end", type=int, default=600, help="steps in which the rate falls to 0")
    parser.add_argument("--sets", type=int, default=20, help="sets of 512 test galaxies")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/psf_image"))
    arguments = parser.parse_args()
    to_stderr()
    backend.prepare(Compute())
    recipe = read(RELEASED).record.recipe
    test = recipe.training.model_copy(update={"seed": SEEDS["test"], "passes": 1})
    tests = Simulator(recipe.model_copy(update={"training": test}))
    rows, losses = [], []
    for shown in (False, True):
        model = trained(Simulator(recipe), arguments.steps, arguments.end, shown)
        found = tested(model, tests, arguments.sets, shown)
        losses.append(found["loss"])
        scatter = 1.4826 * np.median(np.abs(found["errors"]), axis=0)
        row: dict[str, object] = {"psf": "image" if shown else "empty", "n": len(found["loss"])}
        row |= {"loss": found["loss"].mean()}
        names = ("magnitude", "ln_radius", "ln_index", "ellipticity")
        row |= dict(zip(names, scatter * [2.5 / np.log(10), 1, 1, 1], strict=True))
        rows.append(row)
    gain = losses[0] - losses[1]
    error = gain.std() / np.sqrt(len(gain))
    table = pd.DataFrame(rows)
    write_csv(arguments.output / "psf_image.csv", table)
    print(table.round(4).to_string(index=False))
    print(f"gain of the image in the loss: {gain.mean():.4f} +- {error:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
