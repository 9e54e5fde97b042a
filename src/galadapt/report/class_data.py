"""Figures of the data of a classification task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.visualization import AsinhStretch, ImageNormalize, PercentileInterval
from matplotlib.ticker import MaxNLocator

from galadapt.core.errors import DataError
from galadapt.core.random import generator
from galadapt.plots.class_style import class_colours
from galadapt.plots.named import draw_named
from galadapt.plots.style import COLOURS, colours, drawing, opacity
from galadapt.stamps.format import SPLITS, StampSet

#: Random stream purpose.
_STAMPS = 1

_UNLABELLED = "unlabelled"

#: Moments of an image that tell its class, if any do: column of a stamp set and axis label.
_MOMENTS = {"std": "standard deviation", "skewness": "skewness", "kurtosis": "kurtosis"}


def class_data_figures(stamps: Mapping[str, Sequence[Path]], outputs: Sequence[Path]) -> None:
    """Draw each of `outputs`, which its stem names.

    Args:
        stamps: {domain: its stamp set, one file or shards}, each with the column `label`.
        outputs: PNG files called counts, moments (stamp sets with the columns std, skewness and
            kurtosis) or contact_sheet.

    Raises:
        ConfigError: an output has another name.
        DataError: a stamp set is broken or lacks a column.
    """
    draw_named(
        outputs,
        {
            "counts": lambda output: class_counts(stamps, output),
            "moments": lambda output: moments(stamps, output),
            "contact_sheet": lambda output: class_contact_sheet(stamps, output),
        },
    )


def class_counts(stamps: Mapping[str, Sequence[Path]], output: Path) -> None:
    """Draw the number of stamps per class and split, one panel per domain."""
    found = _tables(stamps, ())
    width = 1.2 + 0.65 * max(len(names) for _, names in found.values())
    shade = colours(SPLITS)
    with drawing(output, 1, len(found), (max(width, 3.0), 2.8)) as (figure, axes):
        for panel, (domain, (table, names)) in zip(axes[0], found.items(), strict=True):
            for k, split in enumerate(SPLITS):
                counts = [
                    int(((table["label"] == name) & (table["split"] == split)).sum())
                    for name in names
                ]
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
            panel.set_title(f"{domain} (n = {len(table)})")
        axes[0, 0].set_ylabel("stamps")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)


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
            panel.set_title(f"{domain} (n = {len(table)}{more})")
            for axis, label in zip("xyz", _MOMENTS.values(), strict=True):
                getattr(panel, f"set_{axis}label")(f"log10 {label}")
                getattr(panel, f"{axis}axis").set_major_locator(MaxNLocator(5))
            panel.set_box_aspect(None, zoom=0.88)
            panel.legend(loc="upper left", fontsize=7.5, ncols=2)


def class_contact_sheet(stamps: Mapping[str, Sequence[Path]], output: Path, count: int = 8) -> None:
    """Draw stamps of each class, drawn at random, one row per domain and class.

    Each stamp has its own arcsinh scale, over 99.5 % of its pixels: shapes can be compared, not
    brightness.

    Args:
        stamps: {domain: its stamp set, one file or shards}.
        output: PNG to write.
        count: Stamps per class.
    """
    found = _tables(stamps, ())
    rows = [
        (domain, name)
        for domain, (table, names) in found.items()
        for name in names
        if (table["label"] == name).any()
    ]
    with drawing(output, len(rows), count, (1.15, 1.3)) as (_, axes):
        for panel in axes.flat:
            panel.set_axis_off()
        for line, (domain, name) in zip(axes, rows, strict=True):
            table, names = found[domain]
            members = np.flatnonzero((table["label"] == name).to_numpy())
            drawn = generator(0, _STAMPS, names.index(name)).permutation(len(members))[:count]
            with StampSet(list(stamps[domain])) as opened:
                images = opened.images(members[np.sort(drawn)])
            for panel, row, image in zip(line, members[np.sort(drawn)], images, strict=False):
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
        missing = [name for name in ("label", *wanted) if name not in table]
        if missing:
            raise DataError(
                f"{paths[0]}: lacks the column(s) {', '.join(missing)}; rerun its stage"
            )
        table["label"] = table["label"].replace("", _UNLABELLED)
        names = [str(name) for name in metadata.get("classes", sorted(set(table["label"])))]
        names += sorted(set(table["label"]) - set(names))
        found[domain] = (table, names)
    return found
