"""Figures of the data: what the networks learn from and what they are asked to measure."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.core.random import generator
from galadapt.cutouts.flags import names
from galadapt.plots.style import COLOURS, drawing
from galadapt.stamps.format import StampSet

#: Random stream purpose.
_RANDOM = 1


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
            panel.set_xlabel(QUANTITIES[name].axis)
        axes[0, 0].set_ylabel("density")
        axes[0, 0].legend(loc="upper left")


def contact_sheet(
    simulated: Sequence[Path],
    survey: Path,
    output: Path,
    further: Mapping[str, Sequence[Path]] | None = None,
    count: int = 12,
    softening: float = 3.0,
) -> None:
    """Draw stamps of both domains from bright to faint, and what the survey's look like otherwise.

    Shown is arcsinh(pixel / (softening x pixel rms)), the same scale for all stamps: brightness
    and noise can be compared by eye. Below both domains come the galaxies of the simulation as
    further simulations draw them, then stamps of the survey at random, the brightest by S/N, and
    the worst: those with most flags, then most light of neighbours, then lowest S/N.

    Args:
        simulated: Stamp sets (shards) of the simulation.
        survey: Stamp set of the survey.
        output: PNG to write.
        further: Stamp sets of further simulations, by name.
        count: Stamps per domain, evenly spaced in the rank of magnitude.
        softening: Where the display turns from linear to logarithmic [pixel rms].
    """
    across = min(count, 6)
    with contextlib.ExitStack() as opened:
        first = opened.enter_context(StampSet(list(simulated)))
        second = opened.enter_context(StampSet(survey))
        others = {
            name: opened.enter_context(StampSet(list(paths)))
            for name, paths in (further or {}).items()
        }
        strips = [
            ("simulated", first, _spread(first.table["magnitude"], count)),
            *(
                (name, other, _spread(other.table["magnitude"], across))
                for name, other in others.items()
            ),
            ("survey", second, _spread(second.table["magnitude"], count)),
            *((title, second, rows) for title, rows in _samples(second.table, across)),
        ]
        _draw(output, strips, across, softening)


def _spread(magnitudes: pd.Series, count: int) -> np.ndarray:
    """Rows from bright to faint, evenly spaced in rank."""
    order = np.argsort(magnitudes.to_numpy(), kind="stable")
    rank = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    rows: np.ndarray = order[rank]
    return rows


def _samples(table: pd.DataFrame, count: int) -> list[tuple[str, np.ndarray]]:
    """Random, brightest and worst rows, as far as the columns tell."""
    drawn = generator(0, _RANDOM).permutation(len(table))[:count]
    samples = [("random", np.sort(drawn))]
    if "signal_to_noise" in table:
        bright = np.argsort(-table["signal_to_noise"].to_numpy(), kind="stable")
        samples.append(("brightest", bright[:count]))
    columns = {"extraction_flags", "neighbour_fraction", "signal_to_noise"}
    if columns <= set(table.columns):
        bits = [int(flags).bit_count() for flags in table["extraction_flags"]]
        worst = np.lexsort(
            (table["signal_to_noise"], -table["neighbour_fraction"], -np.array(bits))
        )
        samples.append(("worst", worst[:count]))
    return samples


def _draw(
    output: Path, strips: list[tuple[str, StampSet, np.ndarray]], across: int, softening: float
) -> None:
    lines = [-(-len(rows) // across) for _, _, rows in strips]
    with drawing(output, sum(lines), across, (1.65, 1.9)) as (_, axes):
        for panel in axes.flat:
            panel.set_axis_off()
        tops = np.cumsum([0, *lines])
        for top, (title, stamps, rows) in zip(tops, strips, strict=False):
            sigma = _rms(stamps)
            images = stamps.images(rows)
            for panel, row, image in zip(axes[top:].flat, rows, images, strict=False):
                panel.imshow(
                    np.arcsinh(image / (softening * sigma)),
                    origin="lower",
                    cmap="gray_r",
                    vmin=-0.5,
                    vmax=np.arcsinh(60 / softening),
                    interpolation="nearest",
                )
                domain = "simulated" if title.startswith("simulated") else "survey"
                text = _words(stamps.table.iloc[row], title in ("brightest", "worst", "random"))
                panel.set_title(f"{title}\n{text}", fontsize=7, color=COLOURS[domain])


def _words(row: pd.Series, measured: bool) -> str:
    """Two lines about a stamp: what was measured of it, or its labels."""
    if measured or not set(PARAMETERS) <= set(row.index):
        flags = names(int(row.get("extraction_flags", 0)))
        shown = [name.replace("_", " ") for name in flags[:2]]
        more = f" +{len(flags) - 2}" if len(flags) > 2 else ""
        ratio = row.get("signal_to_noise", np.nan)
        return f"id {int(row['id'])}  S/N {ratio:.0f}\n{', '.join(shown)}{more}"
    return (
        f"m {row['magnitude']:.1f}  re {row['effective_radius']:.1f}\n"
        f"n {row['sersic_index']:.1f}  e {row['ellipticity']:.2f}"
    )


def _rms(stamps: StampSet) -> float:
    """Return the stamp set's pixel noise; without one in its metadata, measure it at the edges."""
    given = stamps.metadata.get("pixel_rms")
    if given:
        return float(given)
    sample = stamps.images(np.arange(min(len(stamps), 64)))
    border = np.concatenate([sample[:, 0].ravel(), sample[:, -1].ravel()])
    return float(1.4826 * np.median(np.abs(border - np.median(border)))) or 1.0
