"""Which file belongs to which object, or to which other file: by name, else by number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from galadapt.core.errors import DataError
from galadapt.core.packed import stem

#: Words for each kind of map in the names of files, in lower case.
_WORDS = {
    "weight": ("weight", "wht", "ivar", "invvar", "wt"),
    "rms": ("rms", "sigma", "sig", "err", "error", "noise", "std", "unc"),
    "variance": ("variance", "var"),
    "exposure": ("exposure", "exp", "exptime"),
    "mask": ("mask", "msk", "dq", "flag", "flags", "bpm"),
    "psf": ("psf",),
    "image": ("sci", "image", "img", "drz", "drc", "im", "cutout"),
}


def matched(wanted: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Number of the file of each wanted name or identifier; None where they do not match.

    Names match as they are, else without case, else by the one number in the names of the files
    that tells them apart (00001 and cosmos_1 are 1). Each file is taken once at most, so names
    that are wanted twice do not match.
    """
    if len(set(wanted)) < len(wanted):
        return None
    for change in (str, str.lower):
        places = {change(name): number for number, name in enumerate(names)}
        if len(places) == len(names) and all(change(one) in places for one in wanted):
            return [places[change(one)] for one in wanted]
    return _by_number(wanted, names)


def _by_number(wanted: Sequence[str], names: Sequence[str]) -> list[int] | None:
    asked = [_numbers(one) for one in wanted]
    if any(len(one) != 1 or not re.fullmatch(r"\d+", text) for one, text in
           zip(asked, wanted, strict=True)):  # fmt: skip
        return None
    found = [_numbers(name) for name in names]
    counts = {len(one) for one in found}
    if len(counts) != 1:
        return None
    fitting = []
    for position in range(counts.pop()):
        places = {one[position]: number for number, one in enumerate(found)}
        if len(places) == len(names) and all(one[0] in places for one in asked):
            fitting.append([places[one[0]] for one in asked])
    return fitting[0] if fitting and all(one == fitting[0] for one in fitting) else None


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def matched_maps(kind: str, files: Sequence[Path], images: Sequence[Path]) -> list[Path]:
    """Map of each image, by their names without the words for either.

    Raises:
        DataError: an image has none, or two.
    """
    plain: dict[str, list[Path]] = {}
    for file in files:
        plain.setdefault(_without(stem(file.name), kind), []).append(file)
    found = []
    for image in images:
        some = plain.get(_without(stem(image.name), "image"), []) or plain.get(
            stem(image.name).lower(), []
        )
        if len(some) != 1:
            raise DataError(
                f"{files[0].parent}: {len(some) or 'no'} {kind} map{'s' if len(some) > 1 else ''} "
                f"for {image.name}; name each as its cutout, or list them in the order of the "
                "cutouts"
            )
        found.append(some[0])
    return found


def _without(name: str, kind: str) -> str:
    words = [word for word in re.split(r"[_\-. ]+", name.lower()) if word not in _WORDS[kind]]
    return "_".join(words)
