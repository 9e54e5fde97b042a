"""Draw the README's picture: python docs/figures.py results/presets/ablation_realism_cosmos.

Predicted against catalogue values of real galaxies, by networks trained on simple simulations and
by those trained on simulations adapted to the survey; the mean prediction of the seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galadapt.answers.numbers.figures import scatter_panel
from galadapt.answers.numbers.metrics import columns, labelled
from galadapt.core.files import read_table
from galadapt.core.quantity import SERSIC
from galadapt.plots.style import COLOURS, drawing, without_values

HERE = Path(__file__).parent
PRESET = Path("results") / "presets" / "ablation_realism_cosmos"

#: Methods of the preset, and what they were trained on.
ROWS = {"naive": "simple\nsimulations", "galaxies_residual": "simulations\nlike the survey"}


def survey_galaxies(folder: Path) -> pd.DataFrame:
    """Labelled survey test galaxies of a method, with the mean prediction of its seeds."""
    tables = []
    for path in sorted(folder.glob("seed*/predictions.parquet")):
        table = labelled(read_table(path))
        table = table[(table["domain"] == "survey") & (table["split"] == "test")]
        tables.append(table.set_index("id").sort_index())
    mean = tables[0].copy()
    for quantity in SERSIC:
        name = f"{quantity.name}_predicted"
        mean[name] = np.mean([table[name] for table in tables], axis=0)
    return mean


def before_and_after(results: Path, output: Path) -> None:
    """Draw a row per method and a column per quantity."""
    rows = {name: results / "runs" / "galaxies" / "asinh" / name for name in ROWS}
    with without_values(), drawing(output, len(rows), 4, (2.3, 2.3)) as (_, axes):
        for line, (name, folder) in zip(axes, rows.items(), strict=True):
            table = survey_galaxies(folder)
            for panel, quantity in zip(line, SERSIC, strict=True):
                true, predicted = columns(table, quantity.name)
                colour = COLOURS["survey" if name == next(iter(rows)) else "simulated"]
                scatter_panel(panel, true, predicted, colour)
                if name == next(reversed(rows)):
                    panel.set_xlabel(f"catalogue {quantity.axis}")
                if name == next(iter(rows)):
                    panel.set_title(quantity.label)
            line[0].set_ylabel(f"{ROWS[name]}\n\npredicted")
    # Few colours: a picture of a page need not be large.
    with Image.open(output) as picture:
        small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(output, optimize=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("results", type=Path, nargs="?", default=PRESET)
    before_and_after(arguments.parse_args().results, HERE / "_static" / "before_and_after.png")
