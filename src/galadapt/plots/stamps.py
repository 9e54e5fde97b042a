"""Stamps in panels."""

from __future__ import annotations

from typing import Any

import numpy as np


def show_stamp(
    panel: Any,
    image: np.ndarray,
    title: str = "",
    signed: bool = False,
    like: np.ndarray | None = None,
) -> None:
    """Show a stamp (side, side, channels) without axes, its channels' mean in grey.

    Args:
        signed: In red and blue around 0, for what is no brightness.
        like: Stamp whose scale is used; None: its own.
    """
    panel.set_axis_off()
    panel.set_title(title, fontsize=7)
    plane = image.mean(axis=-1)
    if signed:
        reach = max(float(np.abs(plane).max()), 1e-30)
        panel.imshow(plane, cmap="RdBu_r", vmin=-reach, vmax=reach, origin="lower")
        return
    scale = plane if like is None else like.mean(axis=-1)
    low, high = np.quantile(scale, [0.01, 0.998])
    panel.imshow(plane, cmap="gray_r", vmin=low, vmax=max(high, low + 1e-30), origin="lower")
