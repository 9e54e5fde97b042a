"""A sheet of measured galaxies: image, model and residual of each, with scales and a caption."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from galadapt.config.image import Image
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import names
from galadapt.core.log import log
from galadapt.core.quantity import PARAMETERS
from galadapt.cutouts.stamps import Stamp
from galadapt.plots.style import drawing, without_values
from galadapt.prediction.checks import drawable, fitted_pixels
from galadapt.prediction.flags import Flag
from galadapt.prediction.inputs import Prepared
from galadapt.prediction.package import Record
from galadapt.simulation.renderers import make_renderer

#: Where the display turns from linear to logarithmic, and the ends of the residuals [sigma].
SOFTENING, RESIDUAL = 3.0, 10.0

#: Lower end of the display of images and models, before it is stretched [3 sigma].
FAINTEST = -0.5

#: Colour of pixels in residuals that took no part in the fit.
LEFT_OUT = "#b0b4ba"

#: Letters of a note that fit across a panel, and of the caption across the sheet.
_NOTE_WIDTH, _CAPTION_WIDTH = 26, 165


class Pictured(NamedTuple):
    """A measured object beside its model, both without the sky."""

    row: int  #: of the catalogue
    stamp: Stamp
    model: np.ndarray  #: (S, S); zeros where the prediction cannot be drawn
    left_out: np.ndarray  #: (S, S) bool: neighbours and pixels without data, not in the fit

    @property
    def sigma(self) -> float:
        """Noise of a pixel; 1 where it is not known."""
        return self.stamp.local_rms if self.stamp.local_rms > 0 else 1.0

    @property
    def residual(self) -> np.ndarray:
        """Image minus model (S, S) [sigma]; masked where pixels took no part in the fit."""
        return np.ma.masked_array((self.stamp.pixels - self.model) / self.sigma, self.left_out)

    def stretched(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Image and model as they are displayed (S, S), and the upper end of the scale."""
        image, model = (
            np.arcsinh(pixels / (SOFTENING * self.sigma))
            for pixels in (self.stamp.pixels, self.model)
        )
        return image, model, max(float(image.max()), 1.0)


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
        # Pixels beyond an image are marked as without data where stamps may reach there.
        room = np.nan if record.beyond_edges else float(checked.get("room", np.nan))
        left_out = ~fitted_pixels(stamp, room, record.extraction)
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
        yield Pictured(row, stamp, model, left_out)


def draw_sample(
    prepared: Prepared, table: pd.DataFrame, raw: pd.DataFrame, count: int, output: Path
) -> None:
    """Draw measured objects from bright to faint beside their models, two objects in a row.

    See `pictured` for the models. Images and models share one scale per galaxy,
    arcsinh(pixel / (3 sigma)); residuals run from -10 (blue) to +10 sigma (red), and are grey where
    pixels took no part in the fit. At most `count` objects of the catalogue are drawn, evenly
    spaced in the rank of magnitude.
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
    with without_values(), drawing(output, rows, 6, (1.55, 1.75), pictures=True) as (figure, axes):
        for panels, one in zip(axes.reshape(-1, 3), found, strict=False):
            values = table.iloc[one.row]
            radius = float(values["effective_radius_arcsec"])
            title = (
                f"{values['id']}  m {_magnitude(values)}  "
                f"re {radius:.2f} arcsec  n {values['sersic_index']:.1f}  "
                f"e {values['ellipticity']:.2f}"
            )
            note = ", ".join(names(int(values["flags"]), Flag))
            _draw(panels, one, title, note)
        _explain(figure, axes, prepared.package.record)


def _explain(figure: Figure, axes: np.ndarray, record: Record) -> None:
    """Add the colour scales and a caption."""
    for part, colours, low, high, label in (
        (axes[:, :3], "gray_r", FAINTEST, 1.0, "image and model"),
        (axes[:, 3:], residuals(), -RESIDUAL, RESIDUAL, "residual: image - model [sigma]"),
    ):
        scale = ScalarMappable(Normalize(low, high), colours)
        bar = figure.colorbar(
            scale, ax=part, location="bottom", aspect=45, shrink=0.9, pad=0.01, label=label
        )
        bar.ax.tick_params(labelsize=6.5)
        bar.ax.xaxis.label.set_fontsize(6.5)
        if high == RESIDUAL:
            bar.set_ticks([low, low / 2, 0, high / 2, high])
        else:
            faintest = SOFTENING * np.sinh(FAINTEST)
            bar.set_ticks([low, high], labels=[f"{faintest:.1f} sigma", "brightest pixel"])
    side = record.stamp_size * record.pixel_scale
    caption = (
        "Of each object, from left: image; Sérsic model with the predicted values, seen through "
        "the PSF; residual. sigma: noise of one pixel. Images and models are shown as arcsinh of "
        f"pixel / ({SOFTENING:g} sigma); the brightest pixel stands in each image. Grey: "
        "neighbours and pixels without data, left out of the fit. Stamps are "
        f"{side:.3g} arcsec wide; m in AB mag, re: effective radius, n: Sérsic index, "
        "e: ellipticity."
    )
    figure.supxlabel(textwrap.fill(caption, _CAPTION_WIDTH), fontsize=6.5, x=0.01, ha="left")


def residuals() -> Colormap:
    """Colours of residuals, and of pixels without any."""
    return mpl.colormaps["RdBu_r"].with_extremes(bad=LEFT_OUT)


def _magnitude(values: pd.Series) -> str:
    error = values["magnitude_err"]
    text = f"{values['magnitude']:.2f}"
    # Outside the training's range no error is reported.
    return f"{text}±{error:.2f}" if np.isfinite(error) else text


def _draw(panels: np.ndarray, one: Pictured, title: str, note: str) -> None:
    image, model, top = one.stretched()
    look: dict[str, Any] = {"origin": "lower", "interpolation": "nearest"}
    for panel, pixels in zip(panels, (image, model), strict=False):
        panel.imshow(pixels, cmap="gray_r", vmin=FAINTEST, vmax=top, **look)
    panels[2].imshow(one.residual, cmap=residuals(), vmin=-RESIDUAL, vmax=RESIDUAL, **look)
    texts = [panels[0].set_title(title, fontsize=6.5, loc="left")]
    box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1}
    look = {"fontsize": 6, "transform": panels[0].transAxes, "bbox": box}
    peak = f"{float(one.stamp.pixels.max()) / one.sigma:.3g} sigma"
    texts.append(panels[0].text(0.98, 0.97, peak, ha="right", va="top", **look))
    if note:
        note = textwrap.fill(note, _NOTE_WIDTH)
        texts.append(panels[0].text(0.02, 0.02, note, color="#D55E00", **look))
    for text in texts:
        # Long text would push the panels apart.
        text.set_in_layout(False)
