"""A sheet of measured galaxies: image, model and residual of each."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.config.image import Image
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import names
from galadapt.core.log import log
from galadapt.cutouts.neighbours import shape_of
from galadapt.cutouts.stamps import Stamp
from galadapt.plots.style import drawing
from galadapt.prediction.flags import Flag
from galadapt.prediction.inputs import Prepared
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import Renderer, make_renderer

#: What a renderer can draw; predictions beyond are drawn at the limit.
_LEAST_RADIUS, _LARGEST_ELLIPTICITY = 0.3, 0.95

#: How far centres may move from their catalogue position [px].
_REACH = 2.0

#: Where the display turns from linear to logarithmic, and the ends of the residuals [sigma].
_SOFTENING, _RESIDUAL = 3.0, 10.0

#: Letters of a note that fit across a panel.
_NOTE_WIDTH = 26


def draw_sample(prepared: Prepared, table: pd.DataFrame, count: int, output: Path) -> None:
    """Draw measured objects from bright to faint beside their models, two objects in a row.

    The model is a Sersic profile with the predicted parameters, seen through the PSF. What the
    networks do not predict, position angle and centre, is fitted to the stamp. Images and models
    share one scale per galaxy, arcsinh(pixel / (3 sigma)); residuals run from -10 (blue) to +10
    sigma (red). At most `count` objects of the catalogue are drawn, evenly spaced in the rank of
    magnitude.
    """
    record = prepared.package.record
    magnitude = table["magnitude"].to_numpy(float)
    order = np.argsort(magnitude, kind="stable")[: np.isfinite(magnitude).sum()]
    if len(order) == 0:
        log.info(f"{output}: not drawn, because no object was measured")
        return
    wanted = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    stamps = prepared.stamps(order[wanted])
    image = Image(
        stamp_size=record.stamp_size, pixel_scale=record.pixel_scale, zero_point=record.zero_point
    )
    renderer = make_renderer(image, make_psf(prepared.psf, record.pixel_scale), "ktable")
    rows = [row for row in order[wanted].tolist() if row in stamps]
    with drawing(output, max(-(-len(rows) // 2), 1), 6, (1.55, 1.75)) as (_, axes):
        for panels, row in zip(axes.reshape(-1, 3), rows, strict=False):
            stamp, values = stamps[row], table.iloc[row]
            radius = float(values["effective_radius_arcsec"]) / record.pixel_scale
            offset = stamp.x_offset, stamp.y_offset
            shape = shape_of(stamp.pixels, stamp.local_rms, offset, record.extraction)
            parameters = {
                "magnitude": float(values["magnitude"]),
                "effective_radius": max(radius, _LEAST_RADIUS),
                "sersic_index": float(np.clip(values["sersic_index"], *SERSIC_INDEX_LIMITS)),
                "ellipticity": float(np.clip(values["ellipticity"], 0, _LARGEST_ELLIPTICITY)),
            }
            model = _fitted(renderer, stamp, parameters, shape.position_angle, shape.neighbours)
            title = (
                f"{values['id']}  m {values['magnitude']:.2f}±{values['magnitude_err']:.2f}  "
                f"re {radius:.1f}  n {values['sersic_index']:.1f}  e {values['ellipticity']:.2f}"
            )
            _draw(panels, stamp, model, title, ", ".join(names(int(values["flags"]), Flag)))
        for panel in axes.flat:
            panel.set_axis_off()


def _fitted(
    renderer: Renderer, stamp: Stamp, parameters: dict[str, float], angle: float, mask: np.ndarray
) -> np.ndarray:
    """Draw the model at the angle and centre that fit the stamp best."""

    def draw(values: np.ndarray) -> np.ndarray:
        x, y = np.clip(values[1:], -_REACH, _REACH)
        return renderer.render(
            {
                **parameters,
                "position_angle": float(values[0]),
                "x_offset": float(stamp.x_offset + x),
                "y_offset": float(stamp.y_offset + y),
            }
        )

    def cost(values: np.ndarray) -> float:
        difference = (stamp.pixels - draw(values))[~mask] / max(stamp.local_rms, 1e-12)
        return float((difference**2).sum())

    start = np.array([angle, 0.0, 0.0])
    simplex = start + np.array([[0, 0, 0], [15, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    options = {"initial_simplex": simplex, "maxfev": 80}
    try:
        found = minimize(cost, start, method="Nelder-Mead", options=options)
        return draw(found.x)
    except DataError:
        # A prediction no renderer can draw has no model; its panel shows that.
        return np.zeros_like(stamp.pixels)


def _draw(panels: np.ndarray, stamp: Stamp, model: np.ndarray, title: str, note: str) -> None:
    sigma = stamp.local_rms if stamp.local_rms > 0 else 1.0
    image, drawn = (np.arcsinh(one / (_SOFTENING * sigma)) for one in (stamp.pixels, model))
    look: dict[str, Any] = {"origin": "lower", "interpolation": "nearest"}
    for panel, pixels in zip(panels, (image, drawn), strict=False):
        panel.imshow(pixels, cmap="gray_r", vmin=-0.5, vmax=max(float(image.max()), 1.0), **look)
    residual = (stamp.pixels - model) / sigma
    panels[2].imshow(residual, cmap="RdBu_r", vmin=-_RESIDUAL, vmax=_RESIDUAL, **look)
    texts = [panels[0].set_title(title, fontsize=6.5, loc="left")]
    if note:
        box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1}
        look = {"fontsize": 6, "color": "#D55E00", "transform": panels[0].transAxes, "bbox": box}
        texts.append(panels[0].text(0.02, 0.02, textwrap.fill(note, _NOTE_WIDTH), **look))
    for text in texts:
        # Long text would push the panels apart.
        text.set_in_layout(False)
