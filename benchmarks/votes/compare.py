"""Simulated galaxies and votes beside those of Galaxy Zoo 2: statistics, mean votes, sheets.

    python benchmarks/votes/compare.py --number 500 --output /tmp/votes

Real images and votes are those of `$GALADAPT_DATA/galaxy_zoo/gz2_votes`. Written to the output
folder: `simulated.png` and `real.png` (96 galaxies each). Printed: for each statistic the 16th,
50th and 84th percentile of both, mean and scatter of each answer's shares, the error of the mean
votes, the noise floor and the time per galaxy.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galadapt.answers.votes.tree import Tree, read_campaign
from galadapt.tasks.votes.data import MockVotes, SimulatedVotes
from galadapt.tasks.votes.simulate import CAMPAIGN, simulate_galaxy
from galadapt.tasks.votes.telescope import Grid

SIDE, SHOWN = 64, 96
_CORNER = 10  #: side of the corners whose pixels are the sky [px]


def real(folder: Path, number: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Read real images (n, 64, 64, 3) as the simulations have them, and their shares."""
    table = pd.read_csv(folder / "votes.csv").iloc[:number]
    images = [
        Image.open(folder / "images" / f"{name}.jpg")
        .crop((108, 108, 316, 316))
        .resize((SIDE, SIDE), Image.Resampling.BOX)
        for name in table["GalaxyID"]
    ]
    return np.stack([np.asarray(image) for image in images]), table


def statistics(images: np.ndarray) -> pd.DataFrame:
    """Measure images (n, 64, 64, 3): sky, noise and its correlation, centre, size, colours."""
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    radius = np.hypot(x, y)
    order = np.argsort(radius, axis=None)
    rows = []
    for image in images.astype(float):
        corners = [
            image[a][:, b]
            for a in (slice(_CORNER), slice(-_CORNER, None))
            for b in (slice(_CORNER), slice(-_CORNER, None))
        ]
        sky = np.median(np.stack(corners), axis=(0, 1, 2))
        # The quietest corner: the others may hold a star.
        quiet = min(corners, key=lambda corner: corner.std())
        grey = quiet.mean(axis=2) - quiet.mean()
        power = (grey**2).mean() + 1e-9
        light = image - sky
        total = np.cumsum(light.mean(axis=2).ravel()[order])
        inner = light[radius < 10].sum(axis=0)
        row = {f"sky {c}": v for c, v in zip("rgb", sky, strict=True)}
        row |= {f"noise {c}": v for c, v in zip("rgb", quiet.std(axis=(0, 1)), strict=True)}
        row |= {
            "correlation, 1 px": (grey[:, 1:] * grey[:, :-1]).mean() / power,
            "correlation, 2 px": (grey[:, 2:] * grey[:, :-2]).mean() / power,
        }
        peak = image[30:34, 30:34].max(axis=(0, 1))
        row |= {f"peak {c}": v for c, v in zip("rgb", peak, strict=True)}
        row["half-light radius"] = radius.ravel()[order][np.searchsorted(total, total[-1] / 2)]
        row |= {"red over blue": inner[0] / inner[2], "red over green": inner[0] / inner[1]}
        for begin in (0, 4, 8, 12, 16, 20, 26):
            ring = (radius >= begin) & (radius < begin + 2)
            row[f"light at {begin} px"] = light[ring].mean()
            row[f"scatter at {begin} px"] = light[ring].mean(axis=1).std()
        fine = np.diff(image.mean(axis=2), n=2, axis=1)[:, 1:-1]
        row["curvature"] = np.abs(fine)[radius[:, 2:-2] < 14].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def sheet(images: np.ndarray, path: Path) -> None:
    """Write the first images, 12 a row, enlarged."""
    picture = Image.new("RGB", (12 * 98, SHOWN // 12 * 98))
    for k, image in enumerate(images[:SHOWN]):
        large = Image.fromarray(image).resize((96, 96), Image.Resampling.BICUBIC)
        picture.paste(large, (k % 12 * 98, k // 12 * 98))
    picture.save(path)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--mock", action="store_true", help="the mock survey instead")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    folder = Path(os.environ["GALADAPT_DATA"]) / "galaxy_zoo" / "gz2_votes"
    images, table = real(folder, given.number)
    tree, grid = Tree.read(CAMPAIGN), Grid(SIDE)
    settings, domain = (MockVotes(), "survey") if given.mock else (SimulatedVotes(), "simulated")
    simulate_galaxy(settings, domain, 1, 0, grid, tree)
    begin = time.process_time()
    made = [simulate_galaxy(settings, domain, 0, k, grid, tree) for k in range(given.number)]
    spent = (time.process_time() - begin) / given.number
    simulated, votes, chances = (np.stack(column) for column in zip(*made, strict=True))
    sheet(images, given.output / "real.png")
    sheet(simulated, given.output / "simulated.png")
    percentiles = [
        statistics(one).quantile([0.16, 0.5, 0.84]).T.round(2) for one in (images, simulated)
    ]
    print(pd.concat(percentiles, axis=1, keys=["real", "simulated"]).to_string())
    shares = tree.shares(tree.conditional(votes))
    truth = tree.shares(chances)
    volunteered = table[read_campaign(CAMPAIGN)["share"].tolist()].to_numpy()
    print(
        pd.DataFrame(
            {
                "real": volunteered.mean(axis=0),
                "simulated": shares.mean(axis=0),
                "scatter, real": volunteered.std(axis=0),
                "scatter, simulated": shares.std(axis=0),
            },
            index=tree.names,
        )
        .round(3)
        .to_string()
    )
    for name, one in (("real", volunteered), ("simulated", shares)):
        error = np.sqrt(((one - one.mean(axis=0)) ** 2).mean())
        print(f"{name}: error of the mean votes {error:.4f}, zeros {(one == 0).mean():.3f}")
    print(f"noise floor {np.sqrt(((shares - truth) ** 2).mean()):.4f}")
    print(f"{1e3 * spent:.1f} ms per galaxy")


if __name__ == "__main__":
    main()
