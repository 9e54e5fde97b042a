"""Methods side by side on the test galaxies of one domain: errors, calibration, differences.

    python benchmarks/votes/methods.py results/presets/votes_real --domain survey \
        --against real_dirichlet

Several result folders are joined: those of the folds of one preset, run with other `results`. For
each method it prints the RMSE of every training seed; and for all its seeds together (the mean of
their predictions, calibrated on the validation galaxies): RMSE with the central 95 % interval over
galaxies (bootstrap), NLL per question, coverage, ECE, the largest deviation from the tree, and the
difference of its RMSE from that of the method `--against`, over the same galaxies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.answers.bootstrap import resamples
from galadapt.answers.votes import judging
from galadapt.answers.votes.distribution import moments
from galadapt.answers.votes.metrics import Predicted
from galadapt.answers.votes.settings import VoteEvaluation
from galadapt.answers.votes.tree import Tree
from galadapt.core.files import read_json

SETTINGS = VoteEvaluation()


def evaluated(
    tables: list[pd.DataFrame], record: dict, domain: str, split: str = "test"
) -> Predicted:
    """Join the seeds' tables of predictions, calibrate, and return those of one domain."""
    tree = Tree.from_list(record["tree"])
    names = [f"{name}_alpha" for name in tree.names]
    table = tables[0].copy()
    if len(tables) > 1:
        alphas = np.stack([one[names].to_numpy(np.float64) for one in tables], axis=1)
        table[names] = moments(alphas, tree)
    factors = judging.calibration(table, record, SETTINGS)[domain]
    here = (table["domain"] == domain) & (table["split"] == split)
    return judging.predicted(table[here & judging.usable(table, tree)], record, factors)


def joined(parts: list[Predicted]) -> Predicted:
    """Put the galaxies of several folds together."""
    votes, alphas = (
        np.concatenate([getattr(one, name) for one in parts]) for name in ("votes", "alphas")
    )
    known = [one.true for one in parts if one.true is not None]
    true = np.concatenate(known) if len(known) == len(parts) else None
    return Predicted(parts[0].tree, votes, alphas, true)


def rmse(found: Predicted) -> float:
    """Over all galaxies and answers."""
    return float(np.sqrt(found.squares.mean()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", help="result folders of a preset")
    parser.add_argument("--domain", default="survey", choices=["simulated", "survey"])
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--against", help="method with which all others are compared")
    parser.add_argument("--resamples", type=int, default=2000)
    args = parser.parse_args()

    runs: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(args.results[0].glob("runs/*/*/*/seed*/predictions.parquet")):
        same = [folder / path.relative_to(args.results[0]) for folder in args.results]
        if all(one.is_file() for one in same):
            runs.setdefault(path.parts[-3], {})[path.parts[-2]] = same
    found: dict[str, tuple[list[float], Predicted]] = {}
    for method, seeds in runs.items():
        record = read_json(next(iter(seeds.values()))[0].with_name("run.json"))["answer"]
        read = [[judging.read(path, record) for path in paths] for paths in seeds.values()]
        if not (read[0][0]["domain"] == args.domain).any():
            continue
        each = [
            rmse(joined([evaluated([one], record, args.domain, args.split) for one in folds]))
            for folds in read
        ]
        together = [
            evaluated(list(of_seeds), record, args.domain, args.split)
            for of_seeds in zip(*read, strict=True)
        ]
        found[method] = each, joined(together)
    if not found:
        parser.error("no finished run in these folders")
    number = len(next(iter(found.values()))[1].squares)
    weights = np.concatenate(list(resamples(number, args.resamples, 0)))
    drawn = {m: np.sqrt(weights @ one.squares / number) for m, (_, one) in found.items()}
    rows = []
    for method, (each, one) in found.items():
        row = {
            "method": method,
            "RMSE of seeds": " ".join(f"{value:.4f}" for value in each),
            "together": f"{rmse(one):.4f}",
            "95 %": "{:.4f} to {:.4f}".format(*np.quantile(drawn[method], [0.025, 0.975])),
        }
        row |= {
            name: f"{value:.3f}"
            for name, value in one.metrics(SETTINGS.bins).items()
            if name in ("nll", "coverage68", "coverage90", "ece", "ause")
        }
        row["violation"] = f"{one.tree.violation(one.shares):.0e}"
        if args.against in found:
            difference = drawn[method] - drawn[args.against]
            low, high = np.quantile(difference, [0.025, 0.975])
            row["difference"] = (
                f"{rmse(one) - rmse(found[args.against][1]):+.4f} ({low:+.4f} to {high:+.4f})"
            )
        rows.append(row)
    same = next(iter(found.values()))[1].metrics(SETTINGS.bins)
    print(
        f"{number} {args.domain} galaxies ({args.split}); their mean votes: RMSE "
        f"{same['rmse_of_mean']:.4f}; floor {same['floor']:.4f}"
    )
    print(pd.DataFrame(rows).sort_values("together").to_string(index=False))


if __name__ == "__main__":
    main()
