"""FITS headers that say more than is true."""

from __future__ import annotations

import re

from astropy.io import fits

_DISTORTION = re.compile(r"^(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)$")


def without_stale_distortion(header: fits.Header) -> fits.Header:
    """Copy a header without distortion coefficients that its CTYPE denies.

    Drizzled mosaics, CANDELS' among them, keep the SIP coefficients of one exposure although they
    have no distortion: their CTYPE does not end in -SIP. Astropy applies them all the same and is
    up to an arcminute off (astropy issue 4761).

    Returns:
        A copy; unchanged if CTYPE1 ends in -SIP.
    """
    clean = header.copy()
    if not str(header.get("CTYPE1", "")).strip().endswith("-SIP"):
        for key in [key for key in clean if _DISTORTION.match(key)]:
            del clean[key]
    return clean
