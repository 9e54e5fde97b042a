"""How messages spell options: `--zero-point` on the command line, `zero_point` in Python.

Messages are written as the command line spells an option. Where somebody calls from elsewhere,
`spelling` has errors and the log name what that interface has instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

#: An option in a sentence. One in backquotes is part of a command to type, and stays.
_OPTION = re.compile(r"`[^`]*`|(?<![\w/.-])--([a-z]+(?:-[a-z]+)*)")

#: Names in use by the options of the command line, without their dashes; None: nobody has chosen.
_names: ContextVar[Mapping[str, str] | None] = ContextVar("names", default=None)


def plain(names: Iterable[str]) -> dict[str, str]:
    """Name options by identifiers, `--zero-point` by ``zero_point``."""
    return {name.replace("_", "-"): name for name in names}


#: What settings of an experiment call the options that describe images and catalogues.
SETTINGS = {
    **plain(("hdu", "unit", "zero_point", "native_pixel_scale", "bad_bits")),
    **plain(("weight", "rms", "variance", "exposure", "mask", "psf")),
    **plain(("columns", "units", "table", "one_based")),
    "mask-good": "mask.invert",
    "psf-hdu": "psf.hdu",
    "psf-pixel-scale": "psf.pixel_scale",
    "pixel-scale": "image.pixel_scale",
}


@contextmanager
def spelling(names: Mapping[str, str], *, at_most: bool = False) -> Iterator[None]:
    """Spell options by these names, others as the command line does.

    Args:
        names: What an option is called, by its name on the command line without the dashes.
        at_most: Whether a spelling that is in use stays: of what the command line calls too.
    """
    if at_most and _names.get() is not None:
        yield
        return
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)


def spelled(text: str) -> str:
    """Spell the options in a message as the interface in use does."""
    names = _names.get()
    if not names:
        return text
    return _OPTION.sub(lambda found: names.get(found[1], found[0]), text)
