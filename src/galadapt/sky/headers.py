"""The one reader of FITS header cards.

A card is looked for in the extension of the image, then in the primary header. What cannot be
parsed is not used, and a remark names it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from galadapt.core.errors import DataError

TIME_CARDS = ("EXPTIME", "TEXPTIME", "EXPOSURE")  #: cards that hold the exposure time [s]

#: Cards that place pixels on the sky.
PLACING = re.compile(
    r"^(CRPIX\d|CRVAL\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|PV\d_\d+|LONPOLE|LATPOLE)$"
)


class Cards:
    """Cards of one image: those of its extension, else those of the primary header.

    Cards that cannot be parsed are removed from both headers.
    """

    def __init__(
        self, hdus: fits.HDUList, hdu: Any, path: Path, remark: Callable[[str], None]
    ) -> None:
        """Take the headers of an open file; `remark` is called with each card not used.

        Raises:
            DataError: a card cannot be parsed that says what pixels hold or where they are.
        """
        self._headers = [hdu.header] + ([hdus[0].header] if hdus[0] is not hdu else [])
        self._broken = [drop_unparsable(header) for header in self._headers]
        self.path, self.remark = path, remark
        for name, text in self._broken[0].items():
            if name in ("BSCALE", "BZERO", "BLANK") or PLACING.match(name):
                raise DataError(
                    f"{path}: the card {name} is '{text}', no number, so its pixels cannot be "
                    "used; repair the header"
                )

    def number(self, *names: str) -> float | None:
        """First finite number among some cards; None when there is none."""
        return self.found(*names)[1]

    def found(self, *names: str) -> tuple[str, float | None]:
        """Name and value of the first of some cards that holds a finite number; "" and None."""
        for name in names:
            for value in self._values(name):
                number = number_in(value)
                if number is not None:
                    return name, number
                if str(value).strip():
                    self._unused(name, value, "no number")
        return "", None

    def text(self, *names: str) -> str:
        """Text of the first of some cards that is not empty; "" when there is none."""
        for name in names:
            for value in self._values(name):
                if isinstance(value, _Broken):
                    self._unused(name, value, "unreadable")
                elif str(value).strip():
                    return str(value).strip()
        return ""

    def raw(self, name: str) -> str:
        """A card as it is written, for messages; "" when there is none."""
        return next((str(value) for value in self._values(name)), "")

    def _unused(self, name: str, value: Any, why: str) -> None:
        self.remark(f"{self.path}: the card {name} is '{value}', {why}; it is not used")

    def _values(self, name: str) -> list[Any]:
        """Values of a card, the one that counts first."""
        found: list[Any] = []
        for header, broken in zip(self._headers, self._broken, strict=True):
            if name in broken:
                found.append(_Broken(broken[name]))
            elif name in header and not isinstance(header[name], fits.card.Undefined):
                found.append(header[name])
        return found


class _Broken(str):
    """A card's text that cannot be parsed."""


def number_in(value: Any) -> float | None:
    """Number in a card, also one in quotes; None when it is none."""
    if isinstance(value, bool | None | _Broken):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def exposure_time(cards: Cards) -> float | None:
    """Exposure time [s]; None when no card gives a positive one."""
    for name in TIME_CARDS:
        time = cards.number(name)
        if time is not None and time > 0:
            return time
    return None


def drop_unparsable(header: fits.Header) -> dict[str, str]:
    """Remove the cards that cannot be parsed from a header; returns their texts by keyword."""
    broken: dict[str, str] = {}
    for card in list(header.cards):
        if card.keyword in ("COMMENT", "HISTORY", "", "CONTINUE", "END"):
            continue
        try:
            _ = card.value
        except Exception:
            # Only now: astropy rewrites a broken card when its text is read.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AstropyWarning)
                text = str(card.image)[10:80].replace("'", " ")
            broken.setdefault(card.keyword, " ".join(text.split(" /")[0].split()))
            header.remove(card.keyword, ignore_missing=True)
    return broken
