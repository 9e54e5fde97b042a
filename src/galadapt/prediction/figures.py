"""Figures of predictions: images beside models, and predictions against fits."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.plots.style import axis_range, drawing, empty

#: Where the display turns from linear to logarithmic, and the ends of the residuals [sigma].
_SOFTENING, _RESIDUAL = 3.0, 10.0

#: Letters of a note that fit across a panel.
_NOTE_WIDTH = 26


@dataclass(frozen=True)
class Panel:
    """One galaxy of the sheet.

    Attributes:
        title: Its name and numbers.
        note: Its flags.
        image: (S, S).
        model: (S, S).
        sigma: Noise of a pixel.
    """

    title: str
    note: str
    image: np.ndarray
    model: np.ndarray
    sigma: float


def residual_sheet(panels: Sequence[Panel], output: Path) -> None:
    """Draw image, model and residual of galaxies, two galaxies in a row.

    Images and models share one scale per galaxy, arcsinh(pixel / (3 sigma)); residuals run from
    -10 (blue) to +10 sigma (red).

    Args:
        panels: The galaxies.
        output: PNG to write.
    """
    rows = max(-(-len(panels) // 2), 1)
    with drawing(output, rows, 6, (1.55, 1.75)) as (_, axes):
        slots = axes.reshape(-1, 3)
        for three, panel in zip(slots, panels, strict=False):
            sigma = panel.sigma if panel.sigma > 0 else 1.0
            shown = [
                np.arcsinh(pixels / (_SOFTENING * sigma)) for pixels in (panel.image, panel.model)
            ]
            top = max(float(shown[0].max()), 1.0)
            for axis, pixels in zip(three, shown, strict=False):
                axis.imshow(
                    pixels,
                    origin="lower",
                    cmap="gray_r",
                    vmin=-0.5,
                    vmax=top,
                    interpolation="nearest",
                )
            three[2].imshow(
                (panel.image - panel.model) / sigma,
                origin="lower",
                cmap="RdBu_r",
                vmin=-_RESIDUAL,
                vmax=_RESIDUAL,
                interpolation="nearest",
            )
            title = three[0].set_title(panel.title, fontsize=6.5, loc="left")
            # Long text would push the panels apart.
            title.set_in_layout(False)
            if panel.note:
                note = three[0].text(
                    0.02,
                    0.02,
                    textwrap.fill(panel.note, _NOTE_WIDTH),
                    transform=three[0].transAxes,
                    fontsize=6,
                    color="#D55E00",
                    bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1},
                )
                note.set_in_layout(False)
        for axis in axes.flat:
            axis.set_axis_off()


def agreement(table: pd.DataFrame, output: Path) -> None:
    """Draw predicted against fitted values of each parameter.

    Args:
        table: `<parameter>` and `<parameter>_err` predicted, `<parameter>_fitted`.
        output: PNG to write.
    """
    with drawing(output, 1, 4, (2.8, 2.8)) as (_, axes):
        for axis, name in zip(axes[0], PARAMETERS, strict=True):
            fitted, predicted = table[f"{name}_fitted"], table[name]
            known = fitted.notna() & predicted.notna()
            if not known.any():
                empty(axis, "no object fitted")
                continue
            axis.errorbar(
                fitted[known],
                predicted[known],
                table[f"{name}_err"][known],
                fmt=".",
                ms=4,
                lw=0.6,
                color="#0072B2",
            )
            low, high = axis_range(np.concatenate([fitted[known], predicted[known]]))
            axis.plot([low, high], [low, high], color="#000000", lw=0.8)
            axis.set(xlim=(low, high), ylim=(low, high))
            axis.set_xlabel(f"fitted {QUANTITIES[name].axis}")
        axes[0, 0].set_ylabel("predicted")
