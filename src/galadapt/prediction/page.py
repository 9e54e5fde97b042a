"""One self-contained page of a measured catalogue: what to distrust, and every object."""

from __future__ import annotations

import base64
import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from galadapt.core.extraction_flags import names
from galadapt.core.files import write_text
from galadapt.core.interface import spelled
from galadapt.core.log import log
from galadapt.evaluation.tables import render_html
from galadapt.plots.style import drawing, empty, without_values
from galadapt.prediction.describe import scope
from galadapt.prediction.flags import REMEDIES, Flag
from galadapt.prediction.inputs import Prepared
from galadapt.prediction.sheet import FAINTEST, RESIDUAL, Pictured, pictured, residuals

#: Most objects with pictures: about 12 KB each. Those in most doubt and an even sample.
PICTURES = 300

#: Columns of the table and the distributions, their labels, and how they are printed.
_COLUMNS = {
    "magnitude": ("magnitude", "{:.2f}"),
    "effective_radius_arcsec": ("effective radius [arcsec]", "{:.3f}"),
    "sersic_index": ("Sérsic index", "{:.2f}"),
    "ellipticity": ("ellipticity", "{:.2f}"),
    "signal_to_noise": ("signal-to-noise", "{:.0f}"),
    "tension": ("tension [errors]", "{:.1f}"),
    "chi2": ("chi²", "{:.1f}"),
    "flux_ratio": ("light seen / expected", "{:.2f}"),
}

_LOGARITHMIC = {"signal_to_noise", "chi2", "effective_radius_arcsec"}

#: Bins of magnitude in which flagged shares are printed, and objects that one needs.
_BINS, _PER_BIN = 8, 5


def write_page(
    prepared: Prepared,
    table: pd.DataFrame,
    raw: pd.DataFrame,
    notes: Mapping[str, Any],
    output: Path,
    found: Sequence[str] = (),
) -> None:
    """Write the page of a catalogue.

    Args:
        prepared: What was measured.
        table: The catalogue (`galadapt.prediction.catalogue.assemble`).
        raw: What it was made from; see `galadapt.prediction.measure.measure`.
        notes: Provenance by keywords.
        output: HTML to write; it needs no other file and no network.
        found: What is known against all objects of an image, in sentences.
    """
    rows = _chosen(table)
    pictures = {one.row: _picture(one) for one in pictured(prepared, raw, rows)}
    flags = table["flags"].to_numpy(int)
    measured = (flags & int(Flag.NO_STAMP)) == 0
    page = framed(
        "page.html",
        "galadapt.prediction",
        title=notes.get("GA_INPUT", "") or "catalogue",
        count=len(table),
        measured=int(measured.sum()),
        clear=int((flags == 0).sum()),
        pictured=len(pictures),
        scope=scope(prepared.package.record),
        doubts=[*found, *_doubts(table, flags, measured)],
        assumed=[value for key, value in notes.items() if key.startswith("GA_NOT")],
        warnings=warnings({flag: int(np.count_nonzero(flags & int(flag))) for flag in Flag}),
        distributions=distributions(table, flags == 0, measured),
        heads=[head for head, _ in _COLUMNS.values()],
        rows=[
            _row(values, pictures.get(number))
            for number, values in enumerate(table.to_dict("records"))
        ],
        flags=[flag.label for flag in Flag if (flags & int(flag)).any()],
        provenance={
            key: value for key, value in notes.items() if not key.startswith(("FLAG", "GA_NOT"))
        },
    )
    write_text(output, page)
    log.info(f"{output}: page of {len(table)} objects, {len(pictures)} with pictures")


def framed(template: str, package: str, **values: Any) -> str:
    """Render a template in the frame that the pages of catalogues share."""
    frame = resources.files("galadapt.prediction").joinpath("frame.html").read_text("utf-8")
    frames = {"frame.html": frame}
    return render_html(template, package, trim=True, frames=frames, **values)


def _chosen(table: pd.DataFrame) -> np.ndarray:
    """Rows that get pictures: all, or the half in most doubt and an even sample of the rest."""
    usable = np.flatnonzero((table["flags"].to_numpy(int) & int(Flag.NO_STAMP)) == 0)
    if len(usable) <= PICTURES:
        return usable
    tension = np.nan_to_num(table["tension"].to_numpy(float)[usable], nan=np.inf)
    worst = usable[np.argsort(-tension, kind="stable")[: PICTURES // 2]]
    rest = np.setdiff1d(usable, worst)
    rest = rest[np.argsort(table["magnitude"].to_numpy(float)[rest], kind="stable")]
    even = np.linspace(0, len(rest) - 1, PICTURES - len(worst)).round().astype(int)
    return np.sort(np.concatenate([worst, rest[even]]))


def _picture(one: Pictured) -> str:
    """Image, model and residual side by side, as a data URI."""
    image, model, top = one.stretched()
    grey = mpl.colormaps["gray_r"]
    span = top - FAINTEST
    panels = [grey(np.clip((x - FAINTEST) / span, 0, 1)) for x in (image, model)]
    residual = np.ma.clip(one.residual / (2 * RESIDUAL) + 0.5, 0, 1)
    panels.append(residuals()(residual))
    # Rows of an image file run downwards.
    joined = (255 * np.concatenate(panels, axis=1)[::-1, :, :3]).astype(np.uint8)
    buffer = io.BytesIO()
    mpl.image.imsave(buffer, joined, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _row(values: Mapping[Any, Any], picture: str | None) -> dict[str, Any]:
    cells = []
    for name, (_, shape) in _COLUMNS.items():
        value = float(values.get(name, np.nan))
        error = float(values.get(f"{name}_err", np.nan))
        text = shape.format(value) if np.isfinite(value) else ""
        if np.isfinite(error) and text:
            text += " ± " + shape.format(error)
        cells.append({"text": text, "value": value if np.isfinite(value) else ""})
    return {
        "id": values["id"],
        "cells": cells,
        "flags": names(int(values["flags"]), Flag),
        "reason": values["reason"] or values["unconfirmed"],
        "picture": picture,
    }


def warnings(counts: Mapping[Flag, int]) -> list[dict[str, Any]]:
    """Flags that are raised, by their counts, the most frequent first."""
    found = [
        {
            "label": flag.label,
            "count": counts[flag],
            "meaning": flag.meaning,
            "remedy": spelled(REMEDIES[flag]),
        }
        for flag in Flag
    ]
    return sorted((one for one in found if one["count"]), key=lambda one: -one["count"])


def _doubts(table: pd.DataFrame, flags: np.ndarray, measured: np.ndarray) -> list[str]:
    """What to distrust, in sentences."""
    found = []
    count = int(measured.sum())
    if count == 0:
        return ["No object was measured; the column reason names why."]
    clear = measured & (flags == 0)
    found.append(f"{int(clear.sum())} of {count} measured objects have no flag.")
    common = [flag for flag in Flag if count > 4 and (flags[measured] & int(flag) > 0).all()]
    for flag in common:
        found.append(
            f"All objects have the flag {flag.label}: {flag.meaning}. {spelled(REMEDIES[flag])}"
        )
    own = flags & ~sum(int(flag) for flag in common)
    magnitude = table["magnitude"].to_numpy(float)
    known = measured & np.isfinite(magnitude)
    if known.sum() >= 2 * _PER_BIN:
        edges = np.quantile(magnitude[known], np.linspace(0, 1, _BINS + 1))
        limit = None
        for low, high in zip(edges[:-1][::-1], edges[1:][::-1], strict=True):
            here = known & (magnitude >= low) & (magnitude <= high)
            if here.sum() < _PER_BIN or (own[here] != 0).mean() <= 0.5:
                break
            limit = low
        if limit is not None:
            found.append(
                f"Fainter than {limit:.1f} mag more than half of the objects are flagged: do not "
                "use a sample to that depth without them."
            )
    ratio = table["flux_ratio"].to_numpy(float)[clear]
    if np.isfinite(ratio).sum() >= _PER_BIN:
        shift = float(-2.5 * np.log10(np.nanmedian(ratio)))
        if abs(shift) > 0.03:
            found.append(
                f"Magnitudes of objects without a flag are shifted by {-shift:+.2f} mag (median) "
                "against the light in their pixels."
            )
    tension = table["tension"].to_numpy(float)[measured]
    if np.isfinite(tension).any():
        share = float((tension[np.isfinite(tension)] > 3).mean())
        if share > 0.1:
            found.append(
                f"A fit of the pixels disagrees with {share:.0%} of the predictions by more than 3 "
                "errors: check PSF, noise and zero point, or run `galadapt fit-check`."
            )
    return found


def distributions(table: pd.DataFrame, clear: np.ndarray, measured: np.ndarray) -> str:
    """Histograms of `_COLUMNS`, as a data URI."""
    with picture() as (path, uri):
        with drawing(path, 2, 4, (2.4, 1.9)) as (figure, axes):
            for panel, (name, (label, _)) in zip(axes.flat, _COLUMNS.items(), strict=True):
                values = table[name].to_numpy(float) if name in table else np.array([])
                good = np.isfinite(values) & measured
                if name in _LOGARITHMIC:
                    good &= values > 0
                panel.set_xlabel(label)
                if not good.any():
                    empty(panel, "nothing measured")
                    continue
                low, high = np.percentile(values[good], [0.5, 99.5])
                if name in _LOGARITHMIC:
                    edges = np.geomspace(max(low, 1e-3), max(high, low * 1.1, 2e-3), 25)
                    panel.set_xscale("log")
                    panel.xaxis.set_minor_formatter(NullFormatter())
                    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=4))
                    panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
                else:
                    edges = np.linspace(low, high + 1e-6 + 1e-3 * abs(high), 25)
                look: dict[str, Any] = {"bins": edges, "histtype": "stepfilled", "alpha": 0.75}
                panel.hist(values[good], color="#c9c9c9", label="all", **look)
                panel.hist(values[good & clear], color="#0072B2", label="no flag", **look)
            handles, labels = axes[0, 0].get_legend_handles_labels()
            if handles:
                figure.legend(handles, labels, loc="outside upper right", ncols=2)
        return uri()


@contextlib.contextmanager
def picture() -> Iterator[tuple[Path, Callable[[], str]]]:
    """Yield where to draw a PNG, and what turns it into a data URI."""
    with tempfile.TemporaryDirectory() as folder, without_values():
        path = Path(folder) / "picture.png"

        def uri() -> str:
            return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"

        yield path, uri
