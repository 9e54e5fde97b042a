"""Figures of the data: what the networks learn from and what they are asked to measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from galadapt.config import PARAMETERS
from galadapt.errors import DataError
from galadapt.figures.style import COLOURS, LABELS, drawing
from galadapt.stamps import StampSet


def parameter_histograms(simulated: Sequence[Path], survey: Path, output: Path) -> None:
    """Draw the distribution of each label in both domains, as densities.

    Args:
        simulated: Stamp sets (shards) of the simulation.
        survey: Stamp set of the survey.
        output: PNG to write.

    Raises:
        DataError: a stamp set is broken or lacks a label.
    """
    with StampSet(list(simulated)) as first, StampSet(survey) as second:
        tables = {"simulated": first.table, "survey": second.table}
    for domain, table in tables.items():
        missing = [name for name in PARAMETERS if name not in table]
        if missing:
            raise DataError(f"{domain} stamps lack the label(s) {', '.join(missing)}; rerun them")
    with drawing(output, 1, 4, (2.8, 2.4)) as (_, axes):
        for panel, name in zip(axes[0], PARAMETERS, strict=True):
            values = {domain: table[name].to_numpy(float) for domain, table in tables.items()}
            pooled = np.concatenate(list(values.values()))
            edges = np.linspace(pooled.min(), pooled.max(), 31)
            for domain, sample in values.items():
                style = {"histtype": "stepfilled", "alpha": 0.35}
                if domain == "survey":
                    style = {"histtype": "step", "lw": 1.8}
                panel.hist(
                    sample,
                    edges,
                    density=True,
                    color=COLOURS[domain],
                    label=f"{domain} ({len(sample)})",
                    **style,
                )
            panel.set_xlabel(LABELS[name])
        axes[0, 0].set_ylabel("density")
        axes[0, 0].legend(loc="upper left")


def contact_sheet(
    simulated: Sequence[Path], survey: Path, output: Path, count: int = 12, softening: float = 3.0
) -> None:
    """Draw stamps of both domains from bright to faint, with their labels.

    Shown is arcsinh(pixel / (softening x pixel rms)), the same scale for all stamps: brightness
    and noise can be compared by eye.

    Args:
        simulated: Stamp sets (shards) of the simulation.
        survey: Stamp set of the survey.
        output: PNG to write.
        count: Stamps per domain, evenly spaced in the rank of magnitude.
        softening: Where the display turns from linear to logarithmic [pixel rms].
    """
    across = min(count, 6)
    down = -(-count // across)
    with (
        StampSet(list(simulated)) as first,
        StampSet(survey) as second,
        drawing(output, 2 * down, across, (1.65, 1.9)) as (_, axes),
    ):
        for half, (domain, stamps) in enumerate((("simulated", first), ("survey", second))):
            order = np.argsort(stamps.table["magnitude"].to_numpy(), kind="stable")
            number = min(count, len(order))
            rows = order[np.linspace(0, len(order) - 1, number).round().astype(int)]
            sigma = _rms(stamps)
            panels = axes[half * down : (half + 1) * down].flat
            images = stamps.images(rows)
            for panel, row, image in zip(panels, rows, images, strict=False):
                panel.imshow(
                    np.arcsinh(image / (softening * sigma)),
                    origin="lower",
                    cmap="gray_r",
                    vmin=-0.5,
                    vmax=np.arcsinh(60 / softening),
                    interpolation="nearest",
                )
                label = stamps.table.iloc[row]
                panel.set_title(
                    f"{domain}\nm {label['magnitude']:.1f}  re {label['effective_radius']:.1f}\n"
                    f"n {label['sersic_index']:.1f}  e {label['ellipticity']:.2f}",
                    fontsize=7,
                    color=COLOURS[domain],
                )
        for panel in axes.flat:
            panel.set_axis_off()


def _rms(stamps: StampSet) -> float:
    """Return the stamp set's pixel noise; without one in its metadata, measure it at the edges."""
    given = stamps.metadata.get("pixel_rms")
    if given:
        return float(given)
    sample = stamps.images(np.arange(min(len(stamps), 64)))
    border = np.concatenate([sample[:, 0].ravel(), sample[:, -1].ravel()])
    return float(1.4826 * np.median(np.abs(border - np.median(border)))) or 1.0
