"""Fabricated run folders: predictions with known errors, as a training run leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galadapt.core.quantity import PARAMETERS, SERSIC
from galadapt.evaluation.evaluate import evaluate_run

RANGES = {
    "magnitude": (18.0, 23.5),
    "effective_radius": (1.5, 12.0),
    "sersic_index": (0.3, 6.2),
    "ellipticity": (0.0, 0.9),
}

#: Prediction noise as a share of the range, and offset of the survey, per method.
QUALITY = {
    "baseline": (0.04, 0.30),
    "transfer": (0.05, 0.02),
    "dann_supervised": (0.05, 0.04),
    "dann_semisupervised": (0.06, 0.10),
}

RunMaker = Callable[..., Path]


def fabricate_run(
    folder: Path,
    variant: str = "asinh",
    method: str = "baseline",
    seed: int = 1,
    n_test: int = 300,
    n_survey: int | None = None,
    model: Path | None = None,
    evaluate: bool = True,
) -> Path:
    """Write one run folder whose numbers depend on nothing but the arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, sum(map(ord, variant + method))])
    noise, offset = QUALITY[method]
    tables, embeddings = [], []
    for domain, shift in (("simulated", 0.0), ("survey", offset)):
        test = n_test if domain == "simulated" or n_survey is None else n_survey
        splits = ["test"] * test + ["validation"] * 40
        count = len(splits)
        columns = {"id": np.arange(count), "domain": domain, "split": splits}
        for name in PARAMETERS:
            low, high = RANGES[name]
            # The reference is the same galaxy whatever the method.
            true = np.random.default_rng(len(name)).uniform(low, high, count)
            scatter = noise * (1 + 2 * shift) * rng.standard_normal(count)
            columns[f"{name}_true"] = true
            columns[f"{name}_predicted"] = true + (high - low) * (scatter + shift)
        tables.append(pd.DataFrame(columns))
        features = rng.standard_normal((count, 6)).astype(np.float32)
        features[:, 0] += 8 * shift
        frame = pd.DataFrame({f"f{k:03d}": features[:, k] for k in range(6)})
        frame.insert(0, "id", np.arange(count))
        frame.insert(1, "domain", domain)
        frame.insert(2, "split", splits)
        embeddings.append(frame[frame["split"] == "test"])
    pd.concat(tables).to_parquet(folder / "predictions.parquet", index=False)
    pd.concat(embeddings).to_parquet(folder / "embeddings.parquet", index=False)
    epochs = np.arange(1, 9)
    pd.DataFrame(
        {
            "epoch": epochs,
            "loss": 0.8 * np.exp(-epochs / 3) + 0.05,
            "val_loss": 0.8 * np.exp(-epochs / 3) + 0.08,
            "val_mae": 0.6 * np.exp(-epochs / 3) + 0.1,
            "learning_rate": 1e-3,
            "seconds": rng.uniform(2, 3, len(epochs)),
        }
    ).to_csv(folder / "history.csv", index=False)
    run = {
        "task": "galaxies",
        "variant": variant,
        "method": method,
        "seed": seed,
        "settings": {
            "description": f"what {method} does",
            "learning_rate": 1e-3,
            "batch_size": 32,
            "alignment": {"kind": "dann", "weight": 0.1} if method.startswith("dann") else None,
        },
        "datasets": {"simulated": "0123456789abcdef"},
        "variant_steps": [{"step": "rebin", "factor": 2}],
        "answer": {
            "kind": "numbers",
            "quantities": [quantity.to_dict() for quantity in SERSIC],
            "scaling": {
                "parameters": list(PARAMETERS),
                "mean": [0.0] * 4,
                "scale": [1.0] * 4,
                "logarithmic": [],
            },
        },
        "parameter_count": 12345,
        "best_epoch": 6,
        "epochs_run": 8,
    }
    (folder / "run.json").write_text(json.dumps(run))
    tested = {"simulated": "0123456789abcdef", "survey": "fedcba9876543210"}
    (folder / "predictions.json").write_text(json.dumps({"datasets": tested}))
    environment = {
        "python": "3.11",
        "keras": "3.15.1",
        "started": f"2026-01-02T03:0{seed}:00+00:00",
        "ended": f"2026-01-02T03:0{seed}:20+00:00",
        "seconds": 20.0,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    if model is not None:
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "network.keras").write_bytes(model.read_bytes())
    if evaluate:
        evaluate_run(
            folder / "predictions.parquet",
            folder / "embeddings.parquet",
            folder / "run.json",
            folder / "history.csv",
            {"magnitude_bins": [18, 20, 22, 23.5], "bootstrap": 50},
            folder / "metrics.json",
            folder / "breakdown.csv",
        )
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """Make a run folder below the test's own folder."""

    def make(
        variant: str = "asinh", method: str = "baseline", seed: int = 1, **more: object
    ) -> Path:
        folder = tmp_path / "runs" / "galaxies" / variant / method / f"seed{seed}"
        return fabricate_run(folder, variant, method, seed, **more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def all_runs(make_run: RunMaker) -> list[Path]:
    """Four methods, two seeds, one variant."""
    return [make_run("asinh", method, seed) for method in QUALITY for seed in (1, 2)]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real Keras model of 16 px stamps, untrained."""
    keras = pytest.importorskip("keras")
    image = keras.Input((16, 16, 1), name="image")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    keras.Model(image, keras.layers.Dense(4)(features)).save(path)
    return path
