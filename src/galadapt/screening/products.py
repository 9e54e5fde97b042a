"""What the archives call an observation's EPIC image, and where they keep it.

Source of the form: XMM-Newton Data Files Handbook (P, observation, instrument, exposure, product,
band, source number); of the addresses: public software that uses them. None could be tried where
this was written.
"""

from __future__ import annotations

import re

from galadapt.errors import DataError

#: The pipeline's identifiers of the cameras; EP is their sum.
INSTRUMENTS = {"sum": "EP", "pn": "PN", "mos1": "M1", "mos2": "M2"}

#: Energy bands of EPIC images [keV].
BANDS = {1: "0.2-0.5", 2: "0.5-1", 3: "1-2", 4: "2-4.5", 5: "4.5-12", 8: "0.2-12"}


def image_name(obs_id: str, camera: str = "sum", exposure: str = "S003", band: int = 8) -> str:
    """Name of an EPIC image of the XMM-Newton pipeline (PPS).

    Args:
        obs_id: Observation identifier, 10 digits.
        camera: A key of `INSTRUMENTS`. The sum of the cameras belongs to no exposure and exists
            in band 8 only.
        exposure: Exposure of a single camera: S or U and three digits.
        band: A key of `BANDS`.

    Raises:
        DataError: an argument is not of this form.
    """
    if not re.fullmatch(r"\d{10}", obs_id):
        raise DataError(f"observation {obs_id!r}: must have 10 digits, as OBS_ID in the 4XMM list")
    if camera not in INSTRUMENTS:
        raise DataError(f"camera {camera!r}: none of {', '.join(INSTRUMENTS)}; name one of them")
    if band not in BANDS or (camera == "sum" and band != 8):
        raise DataError(f"band {band}: camera {camera} has no image of it; ask for band 8")
    if camera == "sum":
        return f"P{obs_id}EPX000OIMAGE8000.FTZ"
    if not re.fullmatch(r"[SU]\d{3}", exposure):
        raise DataError(f"exposure {exposure!r}: must be S or U and three digits, such as S003")
    return f"P{obs_id}{INSTRUMENTS[camera]}{exposure}IMAGE_{band}000.FTZ"


def image_urls(
    obs_id: str, camera: str = "sum", exposure: str = "S003", band: int = 8
) -> list[str]:
    """Addresses of an EPIC image: HEASARC's copy of the pipeline products, then ESA's archive.

    Args and errors as `image_name`.
    """
    name = image_name(obs_id, camera, exposure, band)
    product = name.removeprefix(f"P{obs_id}").removesuffix(".FTZ")
    return [
        f"https://heasarc.gsfc.nasa.gov/FTP/xmm/data/rev0/{obs_id}/PPS/{name}",
        "https://nxsa.esac.esa.int/nxsa-sl/servlet/data-action-aio"
        f"?obsno={obs_id}&level=PPS&name={product}&extension=FTZ",
    ]
