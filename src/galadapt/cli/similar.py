"""`galadapt similar`."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from galadapt.core.distances import METRICS
from galadapt.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from galadapt.stamps.format import StampSet


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "similar", help="find the stamps of a set that are most like a stamp or an image"
    )
    verb.add_argument(
        "--model", type=Path, required=True, help="folder of a package, or of a run of any task"
    )
    verb.add_argument(
        "--stamps", type=Path, nargs="+", required=True, help="stamp set that is searched (.h5)"
    )
    query = verb.add_mutually_exclusive_group(required=True)
    query.add_argument("--id", type=int, help="search for stamps that resemble this one of the set")
    query.add_argument(
        "--image",
        type=Path,
        help="FITS (any task), JPEG or PNG (votes) with one object at its centre, in the stamps' "
        "unit and pixel scale",
    )
    query.add_argument(
        "--query", metavar="SET:ID", help="a stamp of another set, such as survey.h5:17"
    )
    verb.add_argument("-k", type=int, default=11, help="stamps to find")
    verb.add_argument(
        "--distance", choices=METRICS, default="euclidean", help="default: %(default)s"
    )
    verb.add_argument(
        "--index",
        type=Path,
        help="folder where the features of the set are kept; they are computed once",
    )
    verb.add_argument("--sheet", type=Path, help="PNG of the query and what was found")
    verb.add_argument("-o", "--output", type=Path, required=True, help="CSV, nearest first")
    verb.set_defaults(act=_similar)


def _similar(arguments: argparse.Namespace) -> None:
    from galadapt.config.training import Compute
    from galadapt.core.files import write_csv
    from galadapt.prediction import similar
    from galadapt.stamps.format import StampSet

    for path, suffix in ((arguments.output, ".csv"), (arguments.sheet, ".png")):
        if path is not None and path.suffix != suffix:
            raise ConfigError(f"{path}: give a name that ends in {suffix}")
    with contextlib.ExitStack() as opened:
        stamps = opened.enter_context(StampSet(arguments.stamps))
        # Before anything is loaded: an image is read faster than a network.
        images = [_image(arguments.image, stamps)] if arguments.image else []
        encoder = similar.read_encoder(arguments.model, Compute.from_environment())
        if arguments.query:
            path, number = _set_and_id(arguments.query)
            others = opened.enter_context(StampSet(path))
            query, row = similar.read_query(encoder, others, number, [])[0], None
        else:
            query, row = similar.read_query(encoder, stamps, arguments.id, images)
        folder = arguments.index
        if folder is None:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory())) / "index"
        index = similar.opened_index(folder, encoder, stamps)
        table = similar.similar(encoder, stamps, index, query, arguments.k, arguments.distance, row)
        if arguments.sheet:
            title = f"{encoder.name}: nearest by {arguments.distance} distance"
            similar.draw_sheet(arguments.sheet, title, query[1], stamps, table)
        write_csv(arguments.output, table)


def _set_and_id(text: str) -> tuple[str, int]:
    path, colon, number = text.rpartition(":")
    if not colon or not number.lstrip("-").isdigit():
        raise ConfigError(f"--query: '{text}' is not SET:ID; write survey.h5:17, for example")
    return path, int(number)


def _image(path: Path, stamps: StampSet) -> np.ndarray:
    """Read an image as a stamp (side, side, channels) of the set's size."""
    import numpy as np

    if stamps.channels == 3:
        from galadapt.tasks.votes.images import read_image

        crop = float(stamps.metadata.get("crop", 1.0))
        return np.asarray(read_image(path, stamps.side, crop), np.float32)
    from galadapt.sky.fits_files import open_plane

    side = stamps.side
    with open_plane(path, "image") as opened:
        plane = opened.pixels
        if min(plane.shape) < side:
            raise DataError(
                f"{path}: {plane.shape[1]} x {plane.shape[0]} px, smaller than the stamps of "
                f"{side} px; give a larger cutout"
            )
        y, x = ((length - side) // 2 for length in plane.shape)
        middle = np.array(plane[y : y + side, x : x + side], np.float32)
    if not np.isfinite(middle).all():
        raise DataError(f"{path}: its middle holds NaN or infinite pixels; mask or fill them")
    return middle[..., None]
