"""The comparison of optimisers, from histories of which it is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galadapt.core.errors import DataError
from galadapt.evaluation.families import of_optimizers
from galadapt.report.optimizers import COLUMNS, compare_optimizers

SAME = {"epochs": 6, "learning_rate": 0.1, "description": "", "optimizer": {"kind": "adam"}}
METHODS = {
    "adam": SAME,
    "sgd": {**SAME, "optimizer": {"kind": "sgd"}, "learning_rate": 0.5},
    "longer": {**SAME, "epochs": 9},
}


def write(folder: Path, method: str, seed: int, rate: float) -> tuple[Path, Path]:
    own = folder / method / str(seed)
    own.mkdir(parents=True)
    run, history = own / "run.json", own / "history.csv"
    identity = {"task": "galaxies", "variant": "asinh", "method": method, "seed": seed}
    run.write_text(json.dumps(identity))
    epochs = np.arange(1, 7)
    losses = 1 + rate * np.exp(-epochs) + 0.001 * seed
    pd.DataFrame({"epoch": epochs, "val_monitored": losses, "seconds": 2.0}).to_csv(history)
    return run, history


def test_only_methods_that_differ_in_nothing_else_are_compared():
    assert of_optimizers(list(METHODS), METHODS) == [["adam", "sgd"]]
    assert of_optimizers(["adam", "longer"], METHODS) == []


def test_the_table_tells_which_gets_there_first(tmp_path):
    written = [
        write(tmp_path, method, seed, rate)
        for method, rate in (("adam", 1.0), ("sgd", 3.0), ("longer", 1.0))
        for seed in (1, 2)
    ]
    outputs = tmp_path / "optimizers.csv", tmp_path / "figures" / "optimizers.png"
    compare_optimizers(*(list(part) for part in zip(*written, strict=True)), METHODS, *outputs)
    table = pd.read_csv(outputs[0])
    assert list(table.columns) == COLUMNS
    assert table["method"].tolist() == ["adam", "sgd"]
    # Within 5 % of 1.0035: exp(-3) = .05 and 3 exp(-5) = .02.
    assert table["epochs_to_5_percent"].tolist() == [3, 5]
    assert table["best_loss_std"].to_numpy() == pytest.approx(0.001 / np.sqrt(2))
    assert table["seconds_per_epoch"].tolist() == [2, 2]
    assert outputs[1].read_bytes().startswith(b"\x89PNG")


def test_a_broken_history_is_named(tmp_path):
    run, history = write(tmp_path, "adam", 1, 1.0)
    history.write_text("epoch\n1\n")
    with pytest.raises(DataError, match=r"history.csv: holds no validation loss; rerun"):
        compare_optimizers([run], [history], METHODS, tmp_path / "a.csv", tmp_path / "a.png")
