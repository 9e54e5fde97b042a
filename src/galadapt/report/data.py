"""Figures of the data: stamps for training and for testing."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.visualization import AsinhStretch, ImageNormalize, PercentileInterval
from matplotlib.ticker import MaxNLocator

from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import names
from galadapt.core.files import require
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.core.random import generator
from galadapt.plots.named import draw_named
from galadapt.plots.style import (
    COLOURS,
    class_colours,
    colours,
    drawing,
    legend_below,
    opacity,
)
from galadapt.report.vote_data import vote_images, vote_shares
from galadapt.stamps.format import SPLITS, StampSet

#: Random stream purpose.
_RANDOM = 1

#: Galaxies of a line of their contact sheet, and stamps of each class.
_ACROSS, _OF_CLASS = 6, 8

_UNLABELLED = "unlabelled"

#: Moments of an image that may depend on its class: column of a stamp set and axis label.
_MOMENTS = {"std": "standard deviation", "skewness": "skewness", "kurtosis": "kurtosis"}


def data_figures(
    stamps: Mapping[str, Sequence[Path]],
    further: Mapping[str, Sequence[Path]],
    outputs: Sequence[Path],
) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        stamps: {domain: its stamp set, one file or shards}.
        further: Stamp sets of further simulations, by name.
        outputs: PNG files called parameters or stamps (of galaxies); counts or contact_sheet (of
            classes), moments (of stamp sets with the columns std, skewness and kurtosis);
            vote_images or vote_shares (of votes).

    Raises:
        ConfigError: an output has another name.
        DataError: a stamp set is broken or lacks a column.
    """

    def both() -> tuple[Sequence[Path], Path]:
        return stamps["simulated"], stamps["survey"][0]

    draw_named(
        outputs,
        {
            "parameters": lambda output: parameter_histograms(*both(), output),
            "stamps": lambda output: contact_sheet(*both(), output, further),
            "counts": lambda output: class_counts(stamps, output),
            "moments": lambda output: moments(stamps, output),
            "contact_sheet": lambda output: class_contact_sheet(stamps, output),
            "vote_images": lambda output: vote_images(stamps, output),
            "vote_shares": lambda output: vote_shares(stamps, output),
        },
    )


def parameter_histograms(simulated: Sequence[Path], survey: Path, output: Path) -> None:
    """Draw the distribution of each label in both domains, as densities.

    Raises:
        DataError: a stamp set is broken or lacks a label.
    """
    with StampSet(list(simulated)) as first, StampSet(survey) as second:
        tables = {"simulated": first.table, "survey": second.table}
    for path, table in zip((simulated[0], survey), tables.values(), strict=True):
        require(table, PARAMETERS, path, "rerun its stage", "label")
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
    further: Mapping[str, Sequence[Path]],
) -> None:
    """Draw stamps of both domains from bright to faint, and further survey stamps.

    Shown is arcsinh(pixel / (3 x pixel rms)), the same scale for all stamps: brightness and noise
    can be compared by eye. Below both domains come the galaxies of the simulation as
    further simulations draw them, then stamps of the survey at random, the brightest by S/N, and
    the most difficult: those with most flags, then most light of neighbours, then lowest S/N.

    Args:
        simulated: Shards of the simulation.
        survey: Stamp set of the survey.
        output: PNG to write.
        further: Stamp sets of further simulations, by name.
    """
    with contextlib.ExitStack() as opened:
        first = opened.enter_context(StampSet(list(simulated)))
        second = opened.enter_context(StampSet(survey))
        others = {
            name: opened.enter_context(StampSet(list(paths))) for name, paths in further.items()
        }
        strips = [
            ("simulated", first, _spread(first.table["magnitude"], 2 * _ACROSS)),
            *(
                (name, other, _spread(other.table["magnitude"], _ACROSS))
                for name, other in others.items()
            ),
            ("survey", second, _spread(second.table["magnitude"], 2 * _ACROSS)),
            *((title, second, rows) for title, rows in _samples(second.table)),
        ]
        _draw(output, strips)


def _spread(magnitudes: pd.Series, count: int) -> np.ndarray:
    """Rows from bright to faint, evenly spaced in rank."""
    order = np.argsort(magnitudes.to_numpy(), kind="stable")
    rank = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order[rank]


def _samples(table: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Return random, brightest and difficult rows, as far as the columns exist."""
    drawn = generator(0, _RANDOM).permutation(len(table))[:_ACROSS]
    samples = [("random", np.sort(drawn))]
    if "signal_to_noise" in table:
        bright = np.argsort(-table["signal_to_noise"].to_numpy(), kind="stable")
        samples.append(("brightest", bright[:_ACROSS]))
    columns = {"extraction_flags", "neighbour_fraction", "signal_to_noise"}
    if columns <= set(table.columns):
        bits = [int(flags).bit_count() for flags in table["extraction_flags"]]
        difficult = np.lexsort(
            (table["signal_to_noise"], -table["neighbour_fraction"], -np.array(bits))
        )
        samples.append(("difficult", difficult[:_ACROSS]))
    return samples


def _draw(output: Path, strips: list[tuple[str, StampSet, np.ndarray]]) -> None:
    lines = [-(-len(rows) // _ACROSS) for _, _, rows in strips]
    with drawing(output, sum(lines), _ACROSS, (1.65, 1.9), pictures=True) as (_, axes):
        tops = np.cumsum([0, *lines])
        for top, (title, stamps, rows) in zip(tops, strips, strict=False):
            sigma = _rms(stamps)
            images = stamps.images(rows)
            for panel, row, image in zip(axes[top:].flat, rows, images, strict=False):
                panel.imshow(
                    np.arcsinh(image / (3 * sigma)),
                    origin="lower",
                    cmap="gray_r",
                    vmin=-0.5,
                    vmax=np.arcsinh(20),
                    interpolation="nearest",
                )
                domain = "simulated" if title.startswith("simulated") else "survey"
                text = _words(stamps.table.iloc[row], title in ("brightest", "difficult", "random"))
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


# --- classes ----------------------------------------------------------------------------------


def class_counts(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw the number of stamps per class and split, one panel per domain."""
    found = _tables(stamps, ())
    width = 1.2 + 0.65 * max(len(names) for _, names in found.values())
    shade = colours(SPLITS)
    with drawing(output, 1, len(found), (max(width, 3.0), 2.8)) as (figure, axes):
        for panel, (domain, (table, names)) in zip(axes[0], found.items(), strict=True):
            for k, split in enumerate(SPLITS):
                labels = table.loc[table["split"] == split, "label"]
                counts = labels.value_counts().reindex(names, fill_value=0).tolist()
                places = np.arange(len(names)) + 0.27 * (k - 1)
                panel.bar(places, counts, 0.25, color=shade[split], label=split)
                for place, count in zip(places, counts, strict=True):
                    panel.text(
                        place, max(count, 0.6), count, ha="center", va="bottom", fontsize=6.5
                    )
            panel.set_yscale("log")
            panel.set_ylim(0.5, 3 * len(table))
            panel.set_xticks(range(len(names)), names)
            panel.grid(False, axis="x")
            panel.set_title(f"{domain} (n = {len(table):,})")
        axes[0, 0].set_ylabel("stamps")
        legend_below(figure, axes[0, 0], 3)


def moments(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw standard deviation, skewness and kurtosis of each image in logarithmic axes."""
    found = _tables(stamps, _MOMENTS)
    with drawing(output, 1, len(found), (4.6, 4.6), "", "3d") as (_, axes):
        for panel, (domain, (table, names)) in zip(axes[0], found.items(), strict=True):
            values = table[list(_MOMENTS)].to_numpy(np.float64)
            # A logarithm of what is not positive would be a point nowhere.
            good = np.isfinite(values).all(axis=1) & (values > 0).all(axis=1)
            shade = class_colours([name for name in names if name != _UNLABELLED])
            for name in names:
                here = good & (table["label"] == name).to_numpy()
                colour = "#999999" if name == _UNLABELLED else shade[name]
                panel.scatter(
                    *np.log10(values[here]).T,
                    s=9,
                    color=colour,
                    alpha=max(opacity(int(good.sum())), 0.5),
                    linewidths=0,
                    depthshade=False,
                )
                panel.scatter([], [], [], s=22, color=colour, label=f"{name} ({here.sum()})")
            missing = int((~good).sum())
            more = f", {missing} not positive" if missing else ""
            panel.set_title(f"{domain} (n = {len(table):,}{more})")
            for axis, label in zip("xyz", _MOMENTS.values(), strict=True):
                getattr(panel, f"set_{axis}label")(f"log10 {label}")
                getattr(panel, f"{axis}axis").set_major_locator(MaxNLocator(5))
            panel.set_box_aspect(None, zoom=0.88)
            panel.legend(loc="upper left", fontsize=7.5, ncols=2)


def class_contact_sheet(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw stamps of each class, drawn at random, one row per domain and class.

    Each stamp has its own arcsinh scale, over 99.5 % of its pixels: shapes can be compared, not
    brightness.
    """
    found = _tables(stamps, ())
    rows = [
        (domain, name)
        for domain, (table, names) in found.items()
        for name in names
        if (table["label"] == name).any()
    ]
    with drawing(output, len(rows), _OF_CLASS, (1.15, 1.3), pictures=True) as (_, axes):
        for line, (domain, name) in zip(axes, rows, strict=True):
            table, names = found[domain]
            members = np.flatnonzero((table["label"] == name).to_numpy())
            drawn = generator(0, _RANDOM, names.index(name)).permutation(len(members))
            shown = members[np.sort(drawn[:_OF_CLASS])]
            with StampSet(list(stamps[domain])) as opened:
                images = opened.images(shown)
            for panel, row, image in zip(line, shown, images, strict=False):
                scale = ImageNormalize(
                    image, interval=PercentileInterval(99.5), stretch=AsinhStretch(0.1), clip=True
                )
                panel.imshow(
                    image, origin="lower", cmap="gray_r", norm=scale, interpolation="nearest"
                )
                text = f"{name}\nid {table['id'].iloc[row]}"
                panel.set_title(text, fontsize=6.5, color=COLOURS[domain])


def _tables(
    stamps: Mapping[str, Sequence[Path]], wanted: Sequence[str] | Mapping[str, str]
) -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """Table of each domain with its classes in order; stamps without label form the last one.

    Raises:
        DataError: nothing to draw, or a stamp set lacks a column.
    """
    if not stamps:
        raise DataError("no stamp set to draw; name at least one domain's")
    found = {}
    for domain, paths in stamps.items():
        with StampSet(list(paths)) as opened:
            table, metadata = opened.table, opened.metadata
        require(table, ["label", *wanted], paths[0], "rerun its stage")
        table["label"] = table["label"].replace("", _UNLABELLED)
        names = [str(name) for name in metadata.get("classes", sorted(set(table["label"])))]
        names += sorted(set(table["label"]) - set(names))
        found[domain] = (table, names)
    return found
