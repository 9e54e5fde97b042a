"""One page about the catalogue of a survey: counts, flags, maps, distributions, tiles, time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy import units as u
from astropy_healpix import boundaries_lonlat, healpix_to_lonlat
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator

from galadapt.core.files import read_json, read_table, write_text
from galadapt.core.log import log
from galadapt.plots.style import drawing, empty
from galadapt.prediction.flags import Flag
from galadapt.prediction.page import distributions, framed, picture, warnings
from galadapt.prediction.survey.dataset import about, row_groups
from galadapt.prediction.survey.plan import SKY_COLUMN, cell_of, job_files
from galadapt.prediction.survey.tiles import vectors

#: Rows that distributions are drawn from, and cells of a map, about.
_SAMPLE, _CELLS = 200_000, 3000

#: HEALPix order up to which cells of the maps are counted: 0.8 arcmin.
_FINE = 12

#: Objects that a tile needs to be judged by its flags.
_JUDGED = 50

#: Columns that distributions and errors are drawn from.
_COLUMNS = (
    *("magnitude", "magnitude_err", "effective_radius_arcsec", "effective_radius_arcsec_err"),
    *("sersic_index", "sersic_index_err", "ellipticity", "ellipticity_err", "signal_to_noise"),
    *("tension", "chi2", "flux_ratio"),
)

#: Errors drawn against magnitude: of which column, label, and whether relative.
_ERRORS = (
    ("magnitude", "error of magnitude", False),
    ("effective_radius_arcsec", "relative error of radius", True),
    ("sersic_index", "relative error of index", True),
)


def write_page(
    counts: Path,
    catalogue: Path,
    jobs: Path,
    tiles: Sequence[Path],
    unmeasured: Path,
    costs: Path,
    output: Path,
) -> None:
    """Write the page, which needs no other file.

    Args:
        counts: JSON of `galadapt.prediction.survey.dataset.merge`.
        catalogue: Its dataset, read once in pieces.
        jobs: Table of the jobs.
        tiles: JSON of every tile.
        unmeasured: Objects on no tile.
        costs: Folder of the jobs' costs.
        output: HTML.
    """
    totals = read_json(counts)
    every = max(totals["rows"] // _SAMPLE, 1)
    flags = dict.fromkeys(Flag, 0)
    cells: list[pd.DataFrame] = []
    per_tile: list[pd.DataFrame] = []
    sample: list[pd.DataFrame] = []
    for part in row_groups(catalogue, [SKY_COLUMN, "tile", "flags", *_COLUMNS]):
        bits = part["flags"].to_numpy()
        for flag in Flag:
            flags[flag] += int(np.count_nonzero(bits & int(flag)))
        short = pd.DataFrame(
            {
                "cell": cell_of(part[SKY_COLUMN].to_numpy(), _FINE),
                "tile": part["tile"].to_numpy(),
                "objects": 1,
                "measured": (bits & int(Flag.NO_STAMP)) == 0,
                "flagged": bits != 0,
            }
        )
        counted = ["objects", "measured", "flagged"]
        cells.append(short.groupby("cell")[counted].sum())
        per_tile.append(short.groupby("tile")[counted].sum())
        sample.append(part.iloc[::every])
    by_cell, by_tile = (pd.concat(k).groupby(level=0).sum() for k in (cells, per_tile))
    shown = pd.concat(sample, ignore_index=True)
    bits = shown["flags"].to_numpy()
    seen = (bits & int(Flag.NO_STAMP)) == 0
    lost = read_table(unmeasured)
    problems = [(name, why) for name, why in map(_problem, tiles) if why]
    # The folder may have costs of jobs of earlier plans.
    present = job_files(read_table(jobs), costs, ".json")
    spent = pd.DataFrame([read_json(path) for path in present])
    page = framed(
        "page.html",
        "galadapt.prediction.survey",
        title="catalogue of a survey",
        totals=totals,
        cells=len(totals["cells"]),
        tiles=len(tiles),
        lost={str(why): int(n) for why, n in lost["reason"].value_counts().items()},
        problems=problems,
        warnings=warnings(flags),
        maps=_maps(by_cell),
        distributions=distributions(shown, bits == 0, seen),
        errors=_errors(shown[seen], bits[seen] != 0),
        sampled=len(shown),
        unusual=_unusual(by_tile),
        spent=_spent(spent),
        provenance={
            key: value
            for key, value in about(catalogue).items()
            if isinstance(value, str) and not key.startswith("FLAG")
        },
    )
    write_text(output, page)
    log.info(f"{output}: page of {totals['rows']} objects on {len(tiles)} tiles")


def _problem(path: Path) -> tuple[str, str]:
    found = read_json(path)
    return found["tile"]["name"], found["problem"] or ""


def _spent(table: pd.DataFrame) -> dict[str, str]:
    """CPU time and memory of the jobs, in words."""
    per = 1000 * table["cpu_seconds"] / table["objects"]
    whole = 1000 * table["cpu_seconds"].sum() / table["objects"].sum()
    return {
        "jobs": str(len(table)),
        "CPU time": f"{table['cpu_seconds'].sum() / 3600:.3g} h",
        "CPU time per object": f"{whole:.3g} ms; of a job {per.min():.3g} to {per.max():.3g} ms",
        "largest memory of a job": f"{table['peak_mib'].max():.0f} MiB",
    }


def _unusual(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Tiles whose share of flagged objects is far from that of most, the worst first."""
    enough = table[table["objects"] >= _JUDGED]
    share = (enough["flagged"] / enough["objects"]).to_numpy()
    if len(share) < 3:
        return []
    middle = float(np.median(share))
    scatter = 1.4826 * float(np.median(np.abs(share - middle)))
    chance = np.sqrt(max(middle * (1 - middle), 1e-4) / enough["objects"].to_numpy())
    excess = (share - middle) / np.hypot(scatter, chance)
    rows = [
        {
            "tile": str(enough.index[row]),
            "objects": int(enough["objects"].iloc[row]),
            "share": f"{share[row]:.1%}",
            "usual": f"{middle:.1%}",
            "excess": f"{excess[row]:+.1f}",
        }
        for row in np.argsort(-np.abs(excess))
        if abs(excess[row]) > 4
    ]
    return rows[:50]


def _maps(by_cell: pd.DataFrame) -> str:
    """Density of objects and share of flagged ones on the sky, as a data URI.

    Lambert's azimuthal equal-area projection around the middle, north up, east left.
    """
    order, found = _FINE, by_cell
    while len(found) > _CELLS and order > 0:
        order -= 1
        found = by_cell.groupby(by_cell.index.to_numpy() >> 2 * (_FINE - order)).sum()
    # Cells with few objects each make a map of noise.
    while found["objects"].median() < 10 and order > 0 and len(found) > 30:
        order -= 1
        found = by_cell.groupby(by_cell.index.to_numpy() >> 2 * (_FINE - order)).sum()
    numbers, nside = found.index.to_numpy(), 2**order
    lon, lat = healpix_to_lonlat(numbers, nside, order="nested")
    middle = vectors(lon.to_value(u.deg), lat.to_value(u.deg)).mean(axis=0)
    ra0 = np.arctan2(middle[1], middle[0])
    dec0 = np.arctan2(middle[2], np.hypot(*middle[:2]))
    ra, dec = (k.to_value(u.rad) for k in boundaries_lonlat(numbers, 2, nside, order="nested"))
    cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    stretch = np.degrees(np.sqrt(2 / np.maximum(1 + cosine, 1e-6)))
    x = -stretch * np.cos(dec) * np.sin(ra - ra0)
    y = np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)
    corners = np.stack([x, stretch * y], axis=-1)
    area = 4 * np.pi * (180 / np.pi * 60) ** 2 / (12 * nside**2)
    panels = {
        "objects per square arcmin": found["objects"].to_numpy() / area,
        "share of flagged objects": (found["flagged"] / found["objects"]).to_numpy(),
    }
    with picture() as (path, uri):
        with drawing(path, 1, 2, (4.6, 3.9)) as (figure, axes):
            for panel, (label, values) in zip(axes.flat, panels.items(), strict=True):
                drawn = PolyCollection(
                    list(corners), array=values, cmap="viridis", edgecolors="face"
                )
                if label.startswith("share"):
                    drawn.set_clim(0, 1)
                panel.add_collection(drawn)
                panel.autoscale_view()
                panel.set_aspect("equal")
                panel.xaxis.set_major_locator(MaxNLocator(4))
                panel.yaxis.set_major_locator(MaxNLocator(5))
                panel.set_xlabel(
                    f"deg from RA {np.degrees(ra0) % 360:.3f}, Dec {np.degrees(dec0):+.3f}, "
                    "east left"
                )
                figure.colorbar(drawn, ax=panel, label=label, shrink=0.85)
        return uri()


def _errors(table: pd.DataFrame, flagged: np.ndarray) -> str:
    """Median errors, and the share of flagged objects, by magnitude, as a data URI."""
    magnitude = table["magnitude"].to_numpy(float)
    known = np.isfinite(magnitude)
    with picture() as (path, uri):
        with drawing(path, 1, 4, (2.4, 2.0)) as (_, axes):
            lines: dict[str, np.ndarray] = {}
            for name, label, relative in _ERRORS:
                error = table[f"{name}_err"].to_numpy(float)
                lines[label] = error / table[name].to_numpy(float) if relative else error
            lines["share of flagged objects"] = flagged.astype(float)
            bins = np.linspace(0, 1, min(max(int(known.sum()) // 10, 1), 20) + 1)
            edges = np.quantile(magnitude[known], bins) if known.any() else []
            for panel, (label, values) in zip(axes.flat, lines.items(), strict=True):
                panel.set_xlabel("magnitude")
                panel.set_title(label)
                good = known & np.isfinite(values)
                if good.sum() < 2 or edges[0] == edges[-1]:
                    empty(panel, "nothing measured")
                    continue
                frame = pd.DataFrame({"x": magnitude[good], "y": values[good]})
                grouped = frame.groupby(np.searchsorted(edges[1:-1], frame["x"]))
                middle = grouped["y"].mean() if "share" in label else grouped["y"].median()
                panel.plot(grouped["x"].median(), middle, marker="o", ms=3, color="#0072B2")
                panel.set_ylim(bottom=0)
        return uri()
