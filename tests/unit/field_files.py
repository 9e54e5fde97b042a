"""Mosaics and GALFIT texts as archives hold them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from astropy.io import fits

from galadapt.sky.catalogues import GALFIT
from galadapt.surveys.field import wcs_header


def write_mosaic(path, image, wcs, cards, unit):
    header = wcs_header(wcs)
    header.update({"BUNIT": unit, **cards})
    fits.PrimaryHDU(image.astype(np.float32), header).writeto(path, overwrite=True)


def write_galfit(path, catalogue, comments=()):
    """Print a field's catalogue as van der Wel et al. do."""
    table = catalogue.assign(axis_ratio=1 - catalogue["ellipticity"])
    table["axis_ratio_error"] = table["ellipticity_error"]
    table = pd.DataFrame({names[0]: table[name] for name, names in GALFIT.items()}).fillna(-999)
    lines = [f"# {comment}" for comment in comments] + ["# " + " ".join(table), "#"]
    lines += [" ".join(format(value, ".10g") for value in row) for row in table.to_numpy()]
    path.write_text("\n".join(lines) + "\n")
