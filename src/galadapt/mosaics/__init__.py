"""Images of the sky, whatever file, unit and pixel scale they come in.

`open_mosaic` finds the image in a file, its weight, its unit and its zero point; `Mosaic.read`
gives any box of pixels on the grid the caller wants. Pixels are read from disk box by box.
"""

from galadapt.mosaics.calibration import SCALE_TOLERANCE
from galadapt.mosaics.mosaic import Mosaic
from galadapt.mosaics.noise import edge_level
from galadapt.mosaics.opening import once, open_mosaic

__all__ = ["SCALE_TOLERANCE", "Mosaic", "edge_level", "once", "open_mosaic"]
