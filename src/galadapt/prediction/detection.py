"""Finding the objects of an image that comes without a catalogue."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from photutils.segmentation import SegmentationImage, SourceCatalog, deblend_sources
from photutils.utils.exceptions import NoDetectionsWarning

from galadapt.config.survey import Extraction
from galadapt.core.log import progress
from galadapt.cutouts.tiles import read_tile
from galadapt.cutouts.tiles import side as tile_side
from galadapt.prediction.stamps import native
from galadapt.sky import Mosaic

#: photutils.deblend_sources: levels and contrast. Fewer levels than its default of 32, for speed.
_LEVELS, _CONTRAST = 16, 0.01


def detect(mosaic: Mosaic, size: int, extraction: Extraction) -> pd.DataFrame:
    """Find sources for stamps of `size` px: the extraction's segmentation, deblended by photutils.

    Returns:
        x, y: 0-based centroids in pixels of the image itself, by rows from the bottom.
    """
    ny, nx = mosaic.shape
    length = tile_side(extraction)
    tiles = [
        (line, column) for line in range(-(-ny // length)) for column in range(-(-nx // length))
    ]
    places = []
    for line, column in progress(tiles, len(tiles), "detection", "tiles"):
        tile = read_tile(mosaic, line, column, size, extraction)
        if not tile.segments.any():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoDetectionsWarning)
            # Deblending warns where nothing can be separated: of no interest here.
            warnings.simplefilter("ignore")
            found = deblend_sources(
                tile.smooth,
                SegmentationImage(tile.segments),
                npixels=extraction.detection_area,
                nlevels=_LEVELS,
                contrast=_CONTRAST,
                progress_bar=False,
            )
            x, y = SourceCatalog(tile.smooth, found).centroid.T
        x, y = np.atleast_1d(x) + tile.x, np.atleast_1d(y) + tile.y
        # Each source counts in the tile that its centroid lies in, and not in the margins.
        here = (x + 0.5) // length == column
        here &= (y + 0.5) // length == line
        places.append(np.stack([x[here], y[here]], axis=1))
    found_at = np.concatenate(places) if places else np.zeros((0, 2))
    found_at = found_at[np.lexsort((found_at[:, 0], found_at[:, 1]))]
    x, y = native(mosaic, *found_at.T)
    return pd.DataFrame({"x": x, "y": y})
