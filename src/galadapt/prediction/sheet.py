"""A sheet of measured galaxies: image, model and residual of each."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from galadapt.config.image import Image
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import names
from galadapt.core.log import log
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.stamps import Stamp
from galadapt.plots.style import drawing, without_values
from galadapt.prediction.checks import drawable
from galadapt.prediction.flags import Flag
from galadapt.prediction.inputs import Prepared
from galadapt.simulation.renderers import make_renderer

#: Where the display turns from linear to logarithmic, and the ends of the residuals [sigma].
SOFTENING, RESIDUAL = 3.0, 10.0

#: Letters of a note that fit across a panel.
_NOTE_WIDTH = 26


class Pictured(NamedTuple):
    """A measured object beside its model, both without the sky."""

    row: int  #: of the catalogue
    stamp: Stamp
    model: np.ndarray  #: (S, S); zeros where the prediction cannot be drawn


def pictured(prepared: Prepared, raw: pd.DataFrame, rows: np.ndarray) -> Iterator[Pictured]:
    """Yield some rows of a catalogue with their stamps and models (`Pictured`), in order.

    The model is a Sersic profile with the predicted parameters, seen through the PSF. Position
    angle, centre and sky are those of the checks (`raw`, `galadapt.prediction.checks`).
    """
    record = prepared.package.record
    stamps = prepared.stamps(rows)
    image = Image(
        stamp_size=record.stamp_size, pixel_scale=record.pixel_scale, zero_point=record.zero_point
    )
    renderer = make_renderer(image, prepared.profile(), "ktable")
    for row in rows.tolist():
        if row not in stamps:
            continue
        stamp, checked = stamps[row], raw.iloc[row]
        sky = np.float32(np.nan_to_num(checked.get("sky", np.nan)))
        stamp = dataclasses.replace(stamp, pixels=stamp.pixels - sky)
        placed = {
            name: float(np.nan_to_num(checked.get(column, np.nan), nan=otherwise))
            for name, column, otherwise in (
                ("position_angle", "fit_angle", 0.0),
                ("x_offset", "fit_x", stamp.x_offset),
                ("y_offset", "fit_y", stamp.y_offset),
            )
        }
        shape = {name: float(checked[f"{name}_predicted"]) for name in PARAMETERS}
        try:
            model = renderer.render({**drawable(shape), **placed})
        except DataError:
            # A prediction no renderer can draw has no model; its panel shows that.
            model = np.zeros_like(stamp.pixels)
        yield Pictured(row, stamp, model)


def draw_sample(
    prepared: Prepared, table: pd.DataFrame, raw: pd.DataFrame, count: int, output: Path
) -> None:
    """Draw measured objects from bright to faint beside their models, two objects in a row.

    See `pictured` for the models. Images and models share one scale per galaxy,
    arcsinh(pixel / (3 sigma)); residuals run from -10 (blue) to +10 sigma (red). At most `count`
    objects of the catalogue are drawn, evenly spaced in the rank of magnitude.
    """
    magnitude = table["magnitude"].to_numpy(float)
    order = np.argsort(magnitude, kind="stable")[: np.isfinite(magnitude).sum()]
    if len(order) == 0:
        log.info(f"{output}: not drawn, because no object was measured")
        return
    wanted = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    found = list(pictured(prepared, raw, order[wanted]))
    rows = max(-(-len(found) // 2), 1)
    # What is drawn stands in the catalogue, which may have the plot's name.
    with without_values(), drawing(output, rows, 6, (1.55, 1.75), pictures=True) as (_, axes):
        for panels, one in zip(axes.reshape(-1, 3), found, strict=False):
            values = table.iloc[one.row]
            radius = float(values["effective_radius_arcsec"])
            title = (
                f"{values['id']}  m {_magnitude(values)}  "
                f"re {radius:.2f} arcsec  n {values['sersic_index']:.1f}  "
                f"e {values['ellipticity']:.2f}"
            )
            note = ", ".join(names(int(values["flags"]), Flag))
            _draw(panels, one.stamp, one.model, title, note)


def _magnitude(values: pd.Series) -> str:
    error = values["magnitude_err"]
    text = f"{values['magnitude']:.2f}"
    # Outside the training's range no error is reported.
    return f"{text}±{error:.2f}" if np.isfinite(error) else text


def _draw(panels: np.ndarray, stamp: Stamp, model: np.ndarray, title: str, note: str) -> None:
    sigma = stamp.local_rms if stamp.local_rms > 0 else 1.0
    image, drawn = (np.arcsinh(one / (SOFTENING * sigma)) for one in (stamp.pixels, model))
    look: dict[str, Any] = {"origin": "lower", "interpolation": "nearest"}
    for panel, pixels in zip(panels, (image, drawn), strict=False):
        panel.imshow(pixels, cmap="gray_r", vmin=-0.5, vmax=max(float(image.max()), 1.0), **look)
    residual = (stamp.pixels - model) / sigma
    panels[2].imshow(residual, cmap="RdBu_r", vmin=-RESIDUAL, vmax=RESIDUAL, **look)
    texts = [panels[0].set_title(title, fontsize=6.5, loc="left")]
    if note:
        box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1}
        look = {"fontsize": 6, "color": "#D55E00", "transform": panels[0].transAxes, "bbox": box}
        texts.append(panels[0].text(0.02, 0.02, textwrap.fill(note, _NOTE_WIDTH), **look))
    for text in texts:
        # Long text would push the panels apart.
        text.set_in_layout(False)
