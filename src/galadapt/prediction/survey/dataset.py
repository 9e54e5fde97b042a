"""The tables of a survey's jobs as one dataset, partitioned by HEALPix cell.

Laid out as HATS catalogues are (https://www.ivoa.net/documents/Notes/HATS/): one Parquet file per
cell, `dataset/Norder=<k>/Dir=<d>/Npix=<n>.parquet`, sorted in the nested order of the sky.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galadapt.core.errors import DataError
from galadapt.core.files import atomic, read_table, write_csv, write_json
from galadapt.core.provenance import file_digest
from galadapt.prediction.flags import Flag
from galadapt.prediction.survey.job import ABOUT
from galadapt.prediction.survey.plan import SKY_COLUMN, job_files

#: HATS puts so many cells into a folder.
_PER_FOLDER = 10_000


def place(order: int, cell: int) -> str:
    """Path of a cell's file in the dataset."""
    folder = cell // _PER_FOLDER * _PER_FOLDER
    return f"Norder={order}/Dir={folder}/Npix={cell}.parquet"


def merge(jobs: Path, parts: Path, order: int, catalogue: Path, counts: Path) -> None:
    """Write the dataset, cell by cell.

    Args:
        jobs: Table of the jobs, from the plan.
        parts: Folder of their tables, ``<tile>/<cell>-<part>.parquet``.
        order: HEALPix order of the cells.
        catalogue: Folder to write.
        counts: JSON to write: rows, measured ones, rows without a flag, and per cell its rows and
            the digest of its file.

    Raises:
        DataError: a job's table is missing, or has other columns than the others.
    """
    table = read_table(jobs)
    of_jobs: dict[int, list[Path]] = {}
    for cell, path in zip(table["cell"], job_files(table, parts, ".parquet"), strict=True):
        of_jobs.setdefault(int(cell), []).append(path)
    schema = _common_schema([path for paths in of_jobs.values() for path in paths])
    found, metadata = [], []
    with atomic(catalogue) as folder:
        dataset = folder / "dataset"
        for cell, paths in sorted(of_jobs.items()):
            tables = [pq.read_table(path, partitioning=None).cast(schema) for path in paths]
            whole = pa.concat_tables(tables).sort_by(SKY_COLUMN)
            path = dataset / place(order, cell)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(whole, path, compression="zstd")
            metadata.append(pq.read_metadata(path))
            metadata[-1].set_file_path(path.relative_to(dataset).as_posix())
            flags = whole["flags"].to_numpy()
            found.append(
                {
                    "cell": cell,
                    "rows": len(whole),
                    "measured": int((flags & int(Flag.NO_STAMP) == 0).sum()),
                    "unflagged": int((flags == 0).sum()),
                    "digest": file_digest(path),
                }
            )
        pq.write_metadata(schema, dataset / "_common_metadata")
        pq.write_metadata(schema, dataset / "_metadata", metadata_collector=metadata)
        cells = pd.DataFrame(found)
        partitions = pd.DataFrame(
            {"Norder": order, "Npix": cells["cell"], "num_rows": cells["rows"]}
        )
        write_csv(folder / "partition_info.csv", partitions)
        properties = {
            "obs_collection": "galadapt",
            "dataproduct_type": "object",
            "hats_nrows": int(cells["rows"].sum()),
            "hats_col_ra": "ra",
            "hats_col_dec": "dec",
            "hats_order": order,
            "hats_npix_suffix": ".parquet",
        }
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        (folder / "hats.properties").write_text(text)
    totals = {name: int(cells[name].sum()) for name in ("rows", "measured", "unflagged")}
    write_json(counts, {**totals, "order": order, "cells": found})


def _common_schema(paths: Sequence[Path]) -> pa.Schema:
    """Columns of all jobs' tables, with the provenance that they share."""
    schemas = {path: _schema(path) for path in paths}
    first = next(iter(schemas.values()))
    notes = [json.loads(one.metadata[ABOUT]) for one in schemas.values()]
    shared = {
        name: value for name, value in notes[0].items() if all(n.get(name) == value for n in notes)
    }
    for path, one in schemas.items():
        if not one.equals(first):
            raise DataError(f"{path}: has other columns than its fellows; delete it and run again")
    return first.with_metadata({ABOUT: json.dumps(shared, sort_keys=True)})


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable table ({error}); delete it, run again") from None


def about(catalogue: Path) -> dict[str, str]:
    """Provenance in the metadata of a dataset."""
    metadata = pq.read_schema(catalogue / "dataset" / "_common_metadata").metadata
    return dict(json.loads(metadata[ABOUT]))


def row_groups(catalogue: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    """Read columns of a dataset, in pieces of bounded memory."""
    for path in sorted((catalogue / "dataset").rglob("*.parquet")):
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(columns=columns):
                yield batch.to_pandas()
