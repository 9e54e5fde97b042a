"""Is the PSF that was given the images' own? Point sources of an image answer that.

No source is narrower than the PSF, and stars are as wide as it, and elongated as it is.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from galadapt.core.interface import spelled
from galadapt.core.log import log
from galadapt.prediction.any_image import AnyImagePackage
from galadapt.prediction.inputs import Prepared
from galadapt.prediction.point_sources import MOST, TOLERANCE, Cores, stars
from galadapt.prediction.stamps import ImageStamps, StampSource, usable

#: Ellipticity, (a^2 - b^2) / (a^2 + b^2), that stars seen through the PSF have beyond its own from
#: which on it is another one, as when its image is turned: an axis ratio of 0.9.
_ELONGATED = 0.105

#: What to do where stars are found in an image.
REMEDY = "fit it to these stars (add --psf-from-stars)"


class Verdict(NamedTuple):
    """What point sources say of a PSF."""

    ratio: float  #: their width over the PSF's
    stars: int  #: how many of them say so
    width: float  #: of the PSF (FWHM) [px]
    #: Their ellipticity (a^2 - b^2) / (a^2 + b^2) less the PSF's, along x and along the diagonal.
    elongation: tuple[float, float] = (0.0, 0.0)

    @property
    def other_width(self) -> bool:
        """Whether the PSF has another width than these stars."""
        return not 1 / (1 + TOLERANCE) < self.ratio < 1 + TOLERANCE

    @property
    def disagrees(self) -> bool:
        """Whether the PSF is another one."""
        return self.other_width or math.hypot(*self.elongation) > _ELONGATED

    def sentence(self, remedy: str = REMEDY) -> str:
        """Both widths or shapes, and what to do, where a PSF disagrees with an image."""
        if not self.other_width:
            return (
                f"the PSF has another shape than this image's: {self.stars} point sources differ "
                f"from it by {math.hypot(*self.elongation):.2f} in ellipticity, (a^2 - b^2) / "
                f"(a^2 + b^2); {remedy}, or check whether the PSF's image is turned or flipped"
            )
        which = "too wide" if self.ratio < 1 else "too narrow"
        return (
            f"the PSF is {which} for this image: {self.stars} point sources are "
            f"{self.ratio * self.width:.2f} px wide (FWHM), the PSF is {self.width:.2f} px; "
            f"{remedy}, or check the pixel scales of the PSF and of the image (--psf-pixel-scale, "
            "--native-pixel-scale)"
        )


def verdict(cores: Cores, measured: pd.DataFrame) -> Verdict | None:
    """Compare measured cores (`COLUMNS`) with their PSF; None: too few are stars."""
    found = stars(measured)
    if found.empty:
        return None
    width, e1, e2 = (float(value) for value in found[["core_width", "core_e1", "core_e2"]].median())
    return Verdict(math.exp(width), len(found), cores.fwhm, (e1, e2))


def disagreeing(prepared: Prepared) -> dict[str, str]:
    """Sources whose stars are not like the PSF, by name, and the sentence on each, logged."""
    general, found = isinstance(prepared.package, AnyImagePackage), {}
    own = "give the image's own PSF, and train with it (galadapt configure)"
    cores = Cores(prepared.profile(), prepared.package.record.pixel_scale)
    for source in prepared.sources:
        one = verdict(cores, _cores_of(cores, source, prepared.objects))
        if one is not None and one.disagrees:
            remedy = REMEDY if isinstance(source, ImageStamps) else "give these images' own PSF"
            text = one.sentence(remedy if general else own)
            found[source.name] = spelled(f"{source.name}: {text}")
            log.info(found[source.name])
    return found


def _cores_of(cores: Cores, source: StampSource, objects: pd.DataFrame) -> pd.DataFrame:
    """Measure the cores in the middle of an image, or of a sample of cutouts or stamps."""
    if isinstance(source, ImageStamps):
        with source.open() as mosaic:
            return next(cores.of_image(mosaic))
    rows = np.unique(np.linspace(0, len(objects) - 1, MOST).round().astype(int))
    # Not read to its end, where a source reports its speed: that of measuring is of interest.
    batches = islice(source.stamps(objects, rows), len(rows))
    return cores.of_stamps(one for batch in batches for one in batch.judged if usable(one))
