"""One job of a survey: the objects of one tile in one cell, measured by `predict`."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galadapt.config.measure import MeasureOptions, Tile
from galadapt.core.errors import DataError, GaladaptError
from galadapt.core.files import atomic, read_json, write_json, write_parquet
from galadapt.core.interface import spelling
from galadapt.core.log import log
from galadapt.general.package import is_general
from galadapt.prediction.catalogue import column_names
from galadapt.prediction.flags import Flag
from galadapt.prediction.predict import predict
from galadapt.prediction.survey.plan import SKY_COLUMN
from galadapt.prediction.survey.tiles import OPTIONS, inputs_of

#: Key of the provenance in the metadata of a schema.
ABOUT = b"galadapt"

#: Positions keep all their digits; for anything else 7 are enough.
_PRECISE = ("ra", "dec", "x", "y", "x_centre", "y_centre")


def schema_of(package: Path, id_type: pa.DataType) -> pa.Schema:
    """Columns of every job's table, whatever became of its objects."""
    kinds: dict[str, pa.DataType] = {
        **{"id": id_type, "flags": pa.int32(), "unconfirmed": pa.string(), "reason": pa.string()},
        **dict.fromkeys(_PRECISE, pa.float64()),
    }
    fields = [(SKY_COLUMN, pa.int64())]
    for name in column_names(is_general(package)):
        if name == "image":
            fields += [("catalogue", pa.string()), ("tile", pa.string())]
        else:
            fields.append((name, kinds.get(name, pa.float32())))
    return pa.schema(fields)


def measure_objects(
    tile: Path,
    objects: Path,
    package: Path,
    options: MeasureOptions,
    recalibration: Path | None,
    skip: bool,
    output: Path,
    cost: Path,
    provenance: Mapping[str, Any],
) -> None:
    """Measure the objects of a job.

    Args:
        tile: JSON of the tile; see `galadapt.prediction.survey.tiles.inspect`.
        objects: Its objects, from the plan.
        package: Folder of the package.
        options: Of the measurement.
        recalibration: Factors of the errors.
        skip: Whether a tile that cannot be used any more gives rows with a reason, and no error.
        output: Parquet to write, of the columns of `schema_of`; provenance in its metadata.
        cost: JSON to write: objects, CPU and wall-clock seconds, largest memory [MiB].
        provenance: What made the output.

    Raises:
        GaladaptError: the tile, named first, or the package is unfit.
    """
    started, cpu = time.perf_counter(), time.process_time()
    known = read_json(tile)
    about = Tile.model_validate(known["tile"])
    table = pd.read_parquet(objects)
    made = output.with_name(f".{output.stem}-measured.parquet")
    with TemporaryDirectory(prefix="galadapt-") as folder:
        given = Path(folder, "objects.parquet")
        # Identifiers of several catalogues may be the same: rows have numbers here.
        places = pd.DataFrame({"id": np.arange(len(table)), "ra": table["ra"], "dec": table["dec"]})
        write_parquet(given, places)
        try:
            with spelling(OPTIONS):
                found = predict(
                    package,
                    inputs_of(about, given, options, tile.with_name("made")),
                    made,
                    level=options.level,
                    members=options.members,
                    recalibration=recalibration,
                    fast=options.fast,
                )
        except GaladaptError as error:
            if not (skip and isinstance(error, DataError)):
                raise type(error)(f"tile {about.name}: {error}") from None
            log.info(f"tile {about.name}: {error}; its objects get the reason tile")
            found = places.assign(flags=int(Flag.NO_STAMP), reason="tile")
    notes = {
        str(name): value
        for name, value in found.attrs.items()
        if isinstance(value, str) and not str(name).startswith("GA_CAT")
    }
    found = found.assign(
        **{name: table[name].to_numpy() for name in (SKY_COLUMN, "id", "catalogue")},
        tile=about.name,
        flags=found["flags"].to_numpy() | table["flags"].to_numpy(),
    )
    # Where an image gives no position, the catalogue's stands.
    found["ra"], found["dec"] = table["ra"].to_numpy(), table["dec"].to_numpy()
    id_type = pa.string() if table["id"].dtype.kind not in "iu" else pa.int64()
    schema = schema_of(package, id_type)
    text = json.dumps({**notes, "provenance": dict(provenance)}, sort_keys=True)
    stored = pa.Table.from_pandas(found.reindex(columns=schema.names), schema, preserve_index=False)
    with atomic(output) as temporary:
        pq.write_table(stored.replace_schema_metadata({ABOUT: text}), temporary)
    made.unlink(missing_ok=True)
    write_json(
        cost,
        {
            "objects": len(found),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "seconds": round(time.perf_counter() - started, 3),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        },
    )
