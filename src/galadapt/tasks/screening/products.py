"""Names and addresses of EPIC images in the archives.

Source of the form: XMM-Newton Data Files Handbook (P, observation, instrument, exposure, product,
band, source number); of the addresses: public software that uses them. None could be tried where
this was written.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.core.errors import DataError
from galadapt.core.files import require, write_csv
from galadapt.core.log import log
from galadapt.core.tables import read_user_table


def image_name(obs_id: str) -> str:
    """Name of the pipeline's (PPS) image of all cameras from 0.2 to 12 keV of an observation.

    Raises:
        DataError: the identifier does not have 10 digits.
    """
    if not re.fullmatch(r"\d{10}", obs_id):
        raise DataError(f"observation {obs_id!r}: must have 10 digits, as OBS_ID in the 4XMM list")
    return f"P{obs_id}EPX000OIMAGE8000.FTZ"


def image_urls(obs_id: str) -> list[str]:
    """Addresses of that image: HEASARC's copy of the pipeline products, then ESA's archive."""
    name = image_name(obs_id)
    product = name.removeprefix(f"P{obs_id}").removesuffix(".FTZ")
    return [
        f"https://heasarc.gsfc.nasa.gov/FTP/xmm/data/rev0/{obs_id}/PPS/{name}",
        "https://nxsa.esac.esa.int/nxsa-sl/servlet/data-action-aio"
        f"?obsno={obs_id}&level=PPS&name={product}&extension=FTZ",
    ]


def list_observations(
    observations: Path, images: Path, output: Path, missing: Path | None = None
) -> pd.DataFrame:
    """Join the 4XMM list of observations with the images that were fetched; returns the table.

    Args:
        observations: The list (FITS) with the columns OBS_ID and OBS_CLASS.
        images: Folder of images, named as `image_name`.
        output: CSV for `galadapt.tasks.screening.files.read_fields`: image, obs_class, group. The
            exposure is left to the headers.
        missing: CSV for the observations without an image, if wanted: group, image (the file to
            make), address, other_address.

    Raises:
        DataError: the list is missing, broken or lacks a column, or no image of it is there.
    """
    if not observations.is_file():
        raise DataError(
            f"{observations}: no such file; fetch it with galadapt download 4xmm-dr9-observations"
        )
    table = read_user_table(observations)
    table.columns = [name.upper() for name in table.columns]
    require(table, ("OBS_ID", "OBS_CLASS"), observations)
    numbers = [str(value).strip().zfill(10) for value in table["OBS_ID"]]
    files = [(images / image_name(number)).resolve() for number in numbers]
    listed = pd.DataFrame(
        {
            "image": [str(file) for file in files],
            "obs_class": table["OBS_CLASS"].fillna(-1).astype(int).to_numpy(),
            "group": numbers,
        }
    )
    there = np.array([file.is_file() for file in files])
    if missing is not None:
        absent = listed.loc[~there, ["group", "image"]]
        addresses = [image_urls(number) for number in absent["group"]]
        absent[["address", "other_address"]] = np.array(addresses, object).reshape(-1, 2)
        write_csv(missing, absent)
    found = listed[there].reset_index(drop=True)
    if found.empty:
        raise DataError(
            f"{images}: has no image of the {len(numbers)} observations, such as "
            f"{files[0].name if files else 'P0505720401EPX000OIMAGE8000.FTZ'}; fetch some first"
        )
    write_csv(output, found)
    log.info(f"{output.name}: {len(found)} of {len(numbers)} observations have an image")
    return found
