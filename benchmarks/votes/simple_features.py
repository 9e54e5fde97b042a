"""What estimators make of simple features of real Galaxy Zoo images: root mean square errors of all
votes in five folds.

Usage: python benchmarks/votes/simple_features.py [--folder FOLDER] [--output CSV]

The folder holds ``votes.csv`` in the columns of the Galaxy Challenge and ``images/<GalaxyID>.jpg``.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galadapt.learners.image_features import image_features
from galadapt.learners.sklearn import CHOICES, make_estimator

#: Side of the middle of an image that is kept, and of the stamp it is averaged to [px].
CROP, SIDE = 208, 64

FOLDS = 5

ESTIMATORS = ("mean", "ridge", "k_nearest", "kernel_ridge", "nystroem", "svm")


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return stamps (n, side, side, 3) and votes (n, 37)."""
    votes = pd.read_csv(folder / "votes.csv")
    images = []
    for name in votes["GalaxyID"]:
        with Image.open(folder / "images" / f"{name}.jpg") as image:
            border = (image.width - CROP) / 2
            box = (border, border, border + CROP, border + CROP)
            images.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, box)))
    shares = votes.drop(columns="GalaxyID").to_numpy(np.float64)
    return np.stack(images).astype(np.float32), shares


def cross_validated(name: str, choice: float, inputs: np.ndarray, shares: np.ndarray) -> float:
    """Return the error of an estimator over all galaxies and votes."""
    fold = np.random.default_rng(1).permutation(len(inputs)) % FOLDS
    predicted = np.empty_like(shares)
    settings = {"estimator": name, "choice": choice, "epsilon": 0.05, "classifies": False}
    for k in range(FOLDS):
        train = fold != k
        estimator = make_estimator(**settings, seed=1, count=int(train.sum()))
        estimator.fit(inputs[train], shares[train])
        predicted[~train] = estimator.predict(inputs[~train])
    return float(np.sqrt(np.mean((np.clip(predicted, 0, 1) - shares) ** 2)))


def main() -> None:
    """Print a table, and write it if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(os.environ.get("GALADAPT_DATA", "../shared/data"))
    parser.add_argument("--folder", type=Path, default=data / "galaxy_zoo" / "gz2_votes")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    images, shares = read(arguments.folder)
    begun = time.monotonic()
    inputs = image_features(images)
    each = 1e3 * (time.monotonic() - begun) / len(images)
    print(f"{len(images)} galaxies, {inputs.shape[1]} features, {each:.2f} ms each")
    rows = []
    for name in ESTIMATORS:
        begun = time.monotonic()
        for choice in CHOICES[name]:
            error = cross_validated(name, choice, inputs, shares)
            rows.append({"estimator": name, "choice": choice, "rmse": error})
        print(f"{name}: {time.monotonic() - begun:.1f} s")
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.4f"))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.output, index=False)


if __name__ == "__main__":
    main()
