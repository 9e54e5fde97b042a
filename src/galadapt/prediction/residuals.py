"""Image, model and residual of measured galaxies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.config.image import Image
from galadapt.core.errors import DataError
from galadapt.core.log import log
from galadapt.cutouts.cutouts import Stamp
from galadapt.prediction.figures import Panel, residual_sheet
from galadapt.prediction.flags import names
from galadapt.prediction.sample import stamps_of
from galadapt.prediction.task import Task
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import Renderer, make_renderer
from galadapt.tasks.galaxies.fitting.stamps import shape_of

#: What a renderer can draw; predictions beyond are drawn at the limit.
_LEAST_RADIUS, _LARGEST_ELLIPTICITY = 0.3, 0.95

#: How far centres may move from their catalogue position [px].
_REACH = 2.0


def draw_sample(task: Task, table: pd.DataFrame, count: int, output: Path) -> None:
    """Draw measured objects from bright to faint beside their models.

    The model is a Sersic profile with the predicted parameters, seen through the PSF. What the
    networks do not predict, position angle and centre, is fitted to the stamp.

    Args:
        task: What was measured.
        table: The catalogue of `galadapt.prediction.predict.predict`.
        count: Objects at most, evenly spaced in the rank of magnitude.
        output: PNG to write.

    Raises:
        DataError: an input is missing or broken.
    """
    record = task.package.record
    magnitude = table["magnitude"].to_numpy(float)
    order = np.argsort(magnitude, kind="stable")[: np.isfinite(magnitude).sum()]
    if len(order) == 0:
        log.info(f"{output}: not drawn, because no object was measured")
        return
    wanted = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    rows = order[wanted]
    stamps = stamps_of(task, rows)
    image = Image(
        stamp_size=record.stamp_size, pixel_scale=record.pixel_scale, zero_point=record.zero_point
    )
    renderer = make_renderer(image, make_psf(task.psf, record.pixel_scale), "ktable")
    ratio = table["effective_radius_arcsec"].to_numpy(float) / record.pixel_scale
    panels = []
    for row in [row for row in rows.tolist() if row in stamps]:
        stamp, values = stamps[row], table.iloc[row]
        offset = (stamp.x_offset, stamp.y_offset)
        shape = shape_of(stamp.pixels, stamp.local_rms, offset, record.extraction)
        parameters = {
            "magnitude": float(values["magnitude"]),
            "effective_radius": max(float(ratio[row]), _LEAST_RADIUS),
            "sersic_index": float(np.clip(values["sersic_index"], *SERSIC_INDEX_LIMITS)),
            "ellipticity": float(np.clip(values["ellipticity"], 0, _LARGEST_ELLIPTICITY)),
        }
        drawn = _fitted(renderer, stamp, parameters, shape.position_angle, shape.neighbours)
        title = (
            f"{values['id']}  m {values['magnitude']:.2f}±{values['magnitude_err']:.2f}  "
            f"re {ratio[row]:.1f}  n {values['sersic_index']:.1f}  e {values['ellipticity']:.2f}"
        )
        note = ", ".join(names(int(values["flags"])))
        panels.append(Panel(title, note, stamp.pixels, drawn, stamp.local_rms))
    residual_sheet(panels, output)


def _fitted(
    renderer: Renderer,
    stamp: Stamp,
    parameters: dict[str, float],
    angle: float,
    mask: np.ndarray,
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
