"""Simulated galaxies with the votes of simulated volunteers, as stamp sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.votes.tree import Tree
from galadapt.config.base import DOMAINS
from galadapt.core.log import progress
from galadapt.core.parallel import mapped
from galadapt.core.random import generator
from galadapt.stamps.format import SPLITS, write_stamps
from galadapt.tasks.votes.data import MockVotes, SimulatedVotes
from galadapt.tasks.votes.galaxies import draw_scene
from galadapt.tasks.votes.telescope import Grid, Optics, colour_image
from galadapt.tasks.votes.volunteers import answer_probabilities, appearance, walk

CAMPAIGN = "gz2"  #: whose tree of questions the volunteers answer

#: Random stream purposes of a domain's galaxies are this plus its number, three for each.
_PURPOSE = 7100

_BATCH = 64  #: galaxies per task and batch


def simulate_galaxy(
    settings: SimulatedVotes | MockVotes,
    domain: str,
    seed: int,
    index: int,
    grid: Grid,
    tree: Tree,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate one galaxy; it depends on nothing but the arguments.

    Returns:
        Its image (side, side, 3) uint8, the votes of each answer (K,) and the true conditional
        probabilities (K,).
    """
    first = _PURPOSE + 3 * DOMAINS.index(domain)
    galaxy, exposure, crowd = (generator(seed, first + k, index) for k in range(3))
    scene = draw_scene(grid, galaxy)
    fwhm = settings.telescope.psf_fwhm.at_log(exposure.random())
    optics = Optics(settings.telescope, grid, fwhm)
    light = np.stack([optics.blurred(one, channel) for channel, one in enumerate(scene.light)])
    image = colour_image(light + optics.noise(light, exposure), settings.telescope)
    chances = answer_probabilities(appearance(scene, optics, light), settings.volunteers, tree)
    return image, walk(chances, settings.volunteers, tree, crowd), chances


def _batch(
    settings: SimulatedVotes | MockVotes, domain: str, seed: int, tree: Tree, start: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = Grid(settings.side)
    made = [
        simulate_galaxy(settings, domain, seed, index, grid, tree)
        for index in range(start, min(start + _BATCH, settings.total))
    ]
    images, votes, chances = (np.stack(column) for column in zip(*made, strict=True))
    return images, votes, chances


def simulate_votes(
    settings: SimulatedVotes | MockVotes,
    domain: str,
    seed: int,
    output: Path,
    provenance: Mapping[str, Any],
    processes: int = 1,
) -> None:
    """Simulate all galaxies of the settings into a stamp set.

    A galaxy depends on the settings, the domain, the seed and its number only. The first `n_train`
    are for training, then come those for validation and for testing.

    Args:
        settings: Of the galaxies, the telescope and the volunteers.
        domain: One of `DOMAINS`: each has its own galaxies.
        seed: Data seed.
        output: Stamp set to write: colour images (side, side, 3), 0 to 255. Columns: id, split, for
            every answer the number of its votes (votes_...) and the true probability of it at its
            question (true_...).
        provenance: What makes it.
        processes: Processes to share the work among; the bytes do not depend on it.

    Raises:
        RunError: `output` cannot be written.
    """
    tree = Tree.read(CAMPAIGN)
    counts = [settings.n_train, settings.n_validation, settings.n_test]
    table = pd.DataFrame({"id": np.arange(settings.total), "split": np.repeat(SPLITS, counts)})
    columns = [f"{kind}_{name}" for kind in ("votes", "true") for name in tree.names]
    values = pd.DataFrame(np.zeros((settings.total, len(columns))), columns=columns)
    table = pd.concat([table, values], axis=1)

    def images() -> Iterator[np.ndarray]:
        starts = range(0, settings.total, _BATCH)
        made = mapped(partial(_batch, settings, domain, seed, tree), starts, processes)
        done = 0
        for pictures, votes, chances in progress(made, len(starts), output.name, "batches"):
            # The table is stored after the last batch.
            rows = table.index[done : done + len(pictures)]
            table.loc[rows, columns] = np.concatenate([votes, chances], axis=1)
            done += len(pictures)
            yield pictures

    metadata = {
        "pixel_scale": None,
        "zero_point": None,
        "band": "rgb",
        "channels": ["red", "green", "blue"],
        "domain": domain,
        "tree": tree.to_list(),
        "provenance": dict(provenance),
    }
    write_stamps(output, images(), table, metadata, unit="8-bit")
