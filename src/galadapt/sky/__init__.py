"""Images of the sky in any file format, unit and pixel scale.

`open_mosaic` finds the image in a file, its weight, its unit and its zero point; `Mosaic.read`
gives any box of pixels on a chosen grid. Pixels are read from disk box by box.
"""

from galadapt.sky.calibration import SCALE_TOLERANCE
from galadapt.sky.mosaic import Mosaic
from galadapt.sky.noise import edge_level
from galadapt.sky.opening import Remarks, open_mosaic

__all__ = ["SCALE_TOLERANCE", "Mosaic", "Remarks", "edge_level", "open_mosaic"]
