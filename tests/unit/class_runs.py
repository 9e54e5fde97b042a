"""Fabricated run folders of classification tasks: predictions with known errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.answers.classes.settings import ClassEvaluation
from galadapt.evaluation.evaluate import evaluate_run

STARS = ("circular", "comet", "donut")
SCREENING = ("0", "1", "2", "3", "4", "5")
GROUPING = {"good": ["0", "1"], "bad": ["2", "3", "4", "5"]}

#: How far the logit of the true class stands above the others, per method.
QUALITY = {
    "network_a": 2.0,
    "network_b": 3.5,
    "network_b_weighted": 5.0,
    "network_b_leaking": 7.0,
    "kernel3": 1.0,
    "dropout2": 1.4,
    "two_conv": 1.8,
    "moments": 0.4,
    "ordinal": 2.0,
}


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def true_labels(task: str, rng: np.random.Generator) -> pd.DataFrame:
    """Frames of several stars with one class each, or observations of one image."""
    if task == "stars":
        names, sizes = STARS, {"train": (20, 5, 1), "validation": (8, 4, 1), "test": (8, 3, 2)}
        stamps = 15
    else:
        names = SCREENING
        sizes = {
            "train": (80, 60, 30, 20, 10, 2),
            "validation": (40, 30, 14, 10, 6, 1),
            "test": (157, 110, 58, 57, 18, 0),
        }
        stamps = 1
    rows = []
    for split, counts in sizes.items():
        for name, count in zip(names, counts, strict=True):
            for number in range(count):
                group = f"{split}-{name}-{number}"
                rows += [(split, group, name)] * int(1 + rng.integers(stamps))
    table = pd.DataFrame(rows, columns=["split", "group", "label_original"])
    table.insert(0, "id", np.arange(len(table)))
    return table


def fabricate_class_run(
    folder: Path,
    task: str = "stars",
    variant: str = "none",
    method: str = "network_b",
    seed: int = 1,
    domains: tuple[str, ...] = ("simulated",),
    evaluation: ClassEvaluation | None = None,
) -> Path:
    """Write one run folder whose numbers depend on nothing but the arguments.

    Screening networks predict good and bad, except the method `ordinal`, which predicts 0 to 5.
    A method called leaking mixes the groups of its splits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, sum(map(ord, variant + method))])
    binary = task == "screening" and method != "ordinal"
    names = tuple(GROUPING) if binary else (STARS if task == "stars" else SCREENING)
    tables, embeddings = [], []
    for domain in domains:
        table = true_labels(task, np.random.default_rng(7))
        if "leaking" in method:
            table["split"] = np.random.default_rng(8).permutation(table["split"])
        table.insert(1, "domain", domain)
        table["label_true"] = table["label_original"]
        if binary:
            bad = table["label_original"].isin(GROUPING["bad"])
            table["label_true"] = np.where(bad, "bad", "good")
        true = np.array([names.index(label) for label in table["label_true"]])
        lift = QUALITY[method] * (0.6 if domain == "survey" else 1.0)
        logits = rng.standard_normal((len(table), len(names)))
        logits += lift * np.eye(len(names))[true]
        for k, column in enumerate(softmax(logits).T):
            table[f"p_{names[k]}"] = column.astype(np.float32)
        tables.append(table)
        features = pd.DataFrame(
            rng.standard_normal((len(table), 4)) + (domain == "survey"),
            columns=[f"f{k:03d}" for k in range(4)],
        )
        embeddings.append(pd.concat([table[["id", "domain", "split"]], features], axis=1))
    pd.concat(tables).to_parquet(folder / "predictions.parquet", index=False)
    pd.concat(embeddings).to_parquet(folder / "embeddings.parquet", index=False)
    epochs = np.arange(1, 13)
    pd.DataFrame(
        {
            "epoch": epochs,
            "loss": 0.8 * np.exp(-epochs / 4) + 0.1,
            "val_loss": 0.8 * np.exp(-epochs / 4) + 0.02 * epochs + 0.1,
            "accuracy": 1 - 0.5 * np.exp(-epochs / 4),
            "val_accuracy": 0.95 - 0.5 * np.exp(-epochs / 4),
            "seconds": np.where(epochs == 1, 30.0, 2.0 + 0.1 * seed),
        }
    ).to_csv(folder / "history.csv", index=False)
    identity = {"task": task, "variant": variant, "method": method, "seed": seed}
    answer = {"kind": "classes", "classes": {"classes": names}}
    (folder / "run.json").write_text(json.dumps({**identity, "answer": answer}))
    judge_class_run(folder, evaluation)
    return folder


def judge_class_run(folder: Path, evaluation: ClassEvaluation | None = None) -> None:
    settings = evaluation or ClassEvaluation(bootstrap=50)
    evaluate_run(
        folder / "predictions.parquet",
        folder / "embeddings.parquet",
        folder / "run.json",
        folder / "history.csv",
        settings.model_dump(mode="json"),
        folder / "metrics.json",
        folder / "breakdown.csv",
        [folder / "groups.csv"],
    )
