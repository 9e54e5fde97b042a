"""Figures of images with votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from galadapt.answers.votes.answer import Votes, tree_of
from galadapt.config.base import DOMAINS
from galadapt.core.random import generator
from galadapt.plots.style import COLOURS, drawing
from galadapt.stamps.format import StampSet

#: Random stream purpose.
_RANDOM = 1


def vote_images(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw images of each domain at random, each with its most frequent answers.

    Raises:
        DataError: a stamp set is broken, or has no votes.
    """
    down, across = 3, 8
    with drawing(output, down * len(stamps), across, (1.25, 1.4), pictures=True) as (_, axes):
        for number, (domain, paths) in enumerate(stamps.items()):
            with StampSet(list(paths)) as opened:
                drawn = generator(0, _RANDOM).permutation(len(opened))[: down * across]
                images = opened.inputs(drawn) / 255
                tree = tree_of(opened)
                votes = Votes(tree).labels(opened, drawn)
                ids = opened.table["id"].to_numpy()[drawn]
            shares = tree.shares(tree.conditional(votes))
            panels = axes[number * down : (number + 1) * down].flat
            for panel, image, share, one in zip(panels, images, shares, ids, strict=False):
                panel.imshow(np.clip(image, 0, 1), interpolation="nearest")
                order = np.argsort(-np.nan_to_num(share), kind="stable")
                answers = [tree.names[k].split("_")[1] for k in order]
                # That something is not there is true of most galaxies.
                found = [(a, k) for a, k in zip(answers, order, strict=True) if a != "no"]
                words = [f"{answer} {share[k]:.2f}" for answer, k in found[:2]]
                text = "\n".join([f"id {one}", *words]) if np.isfinite(share).any() else f"id {one}"
                panel.set_title(text, fontsize=5.5, color=COLOURS[domain])


def vote_shares(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw the mean share of every answer in each domain.

    Raises:
        DataError: a stamp set is broken, or has no votes.
    """
    found = {}
    for domain, paths in stamps.items():
        with StampSet(list(paths)) as opened:
            tree = tree_of(opened)
            votes = Votes(tree).labels(opened, np.arange(len(opened)))
        known = np.isfinite(votes).all(axis=1)
        found[domain] = tree.names, tree.shares(tree.conditional(votes[known]))
    names = list(dict.fromkeys(name for known, _ in found.values() for name in known))
    with drawing(output, 1, 1, (6.5, 0.8 + 0.17 * len(names))) as (_, axes):
        panel = axes[0, 0]
        for domain, (known, shares) in found.items():
            places = np.array([names.index(name) for name in known])
            panel.barh(
                places + 0.2 * (2 * DOMAINS.index(domain) - 1),
                np.nanmean(shares, axis=0) if len(shares) else np.zeros(len(known)),
                height=0.38,
                color=COLOURS[domain],
                label=f"{domain} ({len(shares):,} with votes)",
            )
        panel.set_yticks(range(len(names)), [name.replace("_", ": ") for name in names], fontsize=7)
        panel.set(ylim=(len(names) - 0.5, -0.5), xlabel="mean share of the volunteers")
        panel.legend(loc="lower right")
