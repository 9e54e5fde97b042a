"""From a predicted map of probabilities to the flagged share of a field, with its probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from galadapt.core.errors import DataError

#: From this probability on a pixel counts as flagged.
THRESHOLD = 0.5


def flagged_share(maps: np.ndarray, exposed: np.ndarray) -> np.ndarray:
    """Share of the exposed pixels that a map flags.

    Args:
        maps: Probabilities (n, H, W); NaN where a prediction failed.
        exposed: Exposed over all pixels of each image, (n,).

    Returns:
        Shares (n,), at most 1; NaN where a probability is.

    Raises:
        DataError: shapes disagree, or an exposed share is not above 0 and at most 1.
    """
    values, area = _checked(maps, exposed)
    flagged = np.where(np.isnan(values), np.nan, values >= THRESHOLD).mean(axis=1)
    return np.minimum(flagged / area, 1.0)


def beyond(maps: np.ndarray, exposed: np.ndarray, borders: Sequence[float]) -> np.ndarray:
    """Probability that at least a certain share of the field is flagged.

    The mean of the highest probabilities, as many as make that share: it is 1 where so many pixels
    are certainly flagged, and a faint glow over the whole map, whose probabilities add up to a
    large area, stays what it is. `borders` are shares of the exposed pixels (for 0 one pixel
    counts); `maps` and `exposed` as in `flagged_share`.

    Returns:
        (n, borders), between 0 and 1 and not increasing with the border; NaN where a probability
        is.

    Raises:
        DataError: as `flagged_share`.
    """
    values, area = _checked(maps, exposed)
    pixels = area * values.shape[1]
    # NaN sorts to the end: such a map has no answer.
    sums = np.cumsum(np.sort(values, axis=1)[:, ::-1], axis=1)
    counted = np.maximum(np.rint(np.outer(pixels, borders)).astype(int), 1)
    found = np.take_along_axis(sums, counted - 1, axis=1) / counted
    return np.where(np.isnan(values).any(axis=1)[:, None], np.nan, found)


def _checked(maps: np.ndarray, exposed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, area = np.asarray(maps, float), np.asarray(exposed, float)
    if values.ndim != 3 or area.shape != values.shape[:1]:
        raise DataError(
            f"probability maps: {values.shape} for {area.shape} exposed shares; give (n, H, W) "
            "and (n,)"
        )
    if not ((area > 0) & (area <= 1)).all():
        raise DataError("exposed_fraction: must be above 0 and at most 1; make the stamps again")
    # The size is named: it cannot be inferred where there is no map.
    return values.reshape(len(values), values.shape[1] * values.shape[2]), area
