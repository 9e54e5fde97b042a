"""The mosaics that a survey's settings list, in the settings or in a table."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from galadapt.config.measure import Measure, Tile
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import expand, split_extension
from galadapt.core.packed import stem

#: Maps that may come with an image; one of the first four at most.
MAPS = ("weight", "rms", "variance", "exposure", "mask")


def read_tiles(measure: Measure) -> dict[str, Tile]:
    """Return the tiles by name.

    Raises:
        ConfigError: the table is missing, lacks or has another column, or a value is wrong; a name
            stands twice.
    """
    if isinstance(measure.tiles, str):
        path = expand(measure.tiles)
        if not path.is_file():
            raise ConfigError(f"measure.tiles: no table {path}; correct the path")
        tiles = _in_table(path, path.stat().st_mtime_ns)
    else:
        tiles = tuple(measure.tiles)
    found: dict[str, Tile] = {}
    for tile in tiles:
        name = tile.name or stem(str(split_extension(Path(tile.image))[0]))
        if name in found:
            raise ConfigError(f"measure.tiles: '{name}' stands twice; give each its own name")
        try:
            # The name of an image may be none of a tile.
            found[name] = Tile.model_validate({**tile.model_dump(), "name": name})
        except ValidationError:
            raise ConfigError(
                f"measure.tiles: '{name}' cannot be a name in paths; give the tile a name of "
                "letters, digits, dots and underscores"
            ) from None
    return found


def only(measure: Measure, name: str) -> Measure:
    """Return the section with one tile alone; a ConfigError if it has none of this name."""
    tiles = read_tiles(measure)
    if name not in tiles:
        raise ConfigError(f"measure.tiles: no tile '{name}'; it was renamed or removed")
    return measure.model_copy(update={"tiles": [tiles[name]]})


@cache
def _in_table(path: Path, changed: int) -> tuple[Tile, ...]:
    """Read the tiles of a table; `changed` is when it was written."""
    from galadapt.core.tables import read_any_table

    names = {name.upper() for name in Tile.model_fields}
    try:
        table, _ = read_any_table(path, names, text={"NAME", "HDU", "UNIT"})
    except DataError as error:
        raise ConfigError(f"measure.tiles: {error}") from None
    tiles = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        values: dict[str, Any] = {
            str(key): value.item() if hasattr(value, "item") else value
            for key, value in row.items()
            if value == value and value not in ("", None)
        }
        for kind in ("image", *MAPS, "psf"):
            given = str(values.get(kind, ""))
            if given and not given.startswith(("$", "~")):
                values[kind] = str(path.parent / given)
        for key, value in values.items():
            # A column with empty cells holds fractions.
            if key in ("hdu", "psf_hdu", "bad_bits") and str(value).replace(".0", "").isdigit():
                values[key] = int(float(value))
        try:
            tiles.append(Tile.model_validate(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"][:1]))
            raise ConfigError(
                f"measure.tiles: {path}: row {number}: {key}: {first['msg']}; correct the table"
            ) from None
    return tuple(tiles)


def files_of(tile: Tile) -> list[Path]:
    """List the files of a tile, without the extensions of them that it names."""
    given = [getattr(tile, kind) for kind in ("image", *MAPS, "psf")]
    files = [split_extension(expand(path))[0] for path in given if path is not None]
    return list(dict.fromkeys(files))


def check(measure: Measure) -> int:
    """Refuse (ConfigError) a section whose files are not there; return the number of tiles."""
    tiles = read_tiles(measure)
    paths = [path for tile in tiles.values() for path in files_of(tile)]
    paths += [expand(one.path) for one in measure.catalogues]
    paths += [expand(path) for path in (measure.recalibration,) if path is not None]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ConfigError(f"measure: no file {missing[0]} ({len(missing)} missing); correct it")
    return len(tiles)
