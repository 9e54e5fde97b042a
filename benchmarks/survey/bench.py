"""CPU time per object and memory of the stages of `snakemake measure`, from 10^4 to 10^6 objects.

Usage: python benchmarks/survey/bench.py FOLDER [--objects 10000 100000 1000000] [--refined]

Tiles of 4096 x 4096 px with a galaxy every 40 px lie side by side on the sky, all of one image.
Every stage is run as the workflow runs it, in a process of its own, start included. Jobs of 1000
objects cost the same wherever they lie, so `--jobs` of them are measured at each size; the tables
of the others are copies with their own objects' positions, which are merged and shown like any.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.wcs import WCS

from galadapt.core.files import canonical_json, read_json, write_csv, write_json
from galadapt.general.package import RELEASED
from galadapt.pipeline import jobs
from galadapt.surveys.field import tangent_wcs
from galadapt.tasks.galaxies.settings import Config
from galadapt.tasks.reading import load

REPOSITORY = Path(__file__).parents[2]

SIDE, SPACING, SCALE, RMS, ZERO_POINT, WIDTH = 4096, 40, 0.2, 0.05, 27.0, 1.5
PER_JOB = 1000
FIRST = "tile000"


class Cost(NamedTuple):
    """What a process took."""

    seconds: float  #: of CPU
    mib: float  #: largest memory


def make_survey(folder: Path, tiles: int) -> None:
    """Write images, a map of the noise, a PSF, a table of tiles and a catalogue."""
    random = np.random.default_rng(1)
    image = random.normal(0, RMS, (SIDE, SIDE)).astype(np.float32)
    y, x = np.indices((31, 31)) - 15
    middles = np.arange(SPACING, SIDE - SPACING, SPACING)
    for line in middles:
        for column in middles:
            width, flux = random.uniform(2, 4), 10 ** (0.4 * (ZERO_POINT - random.uniform(19, 24)))
            light = flux / (2 * np.pi * width**2) * np.exp(-0.5 * (x**2 + y**2) / width**2)
            image[line - 15 : line + 16, column - 15 : column + 16] += light
    fits.writeto(folder / "rms.fits", np.full(image.shape, RMS, np.float32), overwrite=True)
    psf = np.exp(-0.5 * (x**2 + y**2) / WIDTH**2).astype(np.float32)
    fits.writeto(folder / "psf.fits", psf, overwrite=True)
    columns, lines = (k.ravel() for k in np.meshgrid(middles, middles))
    rows, tables = [], []
    for number in range(tiles):
        # A little overlap, so that the plan has something to choose.
        step = 0.99 * SIDE * SCALE / 3600
        ra, dec = 150 + step * (number % 10) / np.cos(np.radians(2)), 2 + step * (number // 10)
        wcs = tangent_wcs((SIDE, SIDE), SCALE, ra, dec)
        header = wcs.to_header()
        header["BUNIT"], header["ABZP"] = "electron/s", ZERO_POINT
        path = folder / f"tile{number:03d}.fits"
        if not path.is_file():
            # The first is measured; of the others only the header is read, and that once.
            fits.writeto(path, image if number == 0 else image[:1, :1], header)
        rows.append({"image": path.name, "rms": "rms.fits", "psf": "psf.fits"})
        places = wcs.pixel_to_world_values(columns, lines)
        tables.append(pd.DataFrame({"ra": places[0], "dec": places[1]}))
    write_csv(folder / "tiles.csv", pd.DataFrame(rows))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "id", np.arange(len(table)))
    table.to_parquet(folder / "all.parquet", index=False)


def stage(folder: Path, config: Config, name: str, wildcards: dict, **paths: object) -> Cost:
    """Run a stage as the workflow does; inputs are named after `i_`, outputs after `o_`."""
    settings = jobs.settings(config, name, **wildcards)
    command = [sys.executable, "-m", "galadapt", "stage", f"galaxies.{name}"]
    command += ["--settings", canonical_json(settings)]
    for key, value in paths.items():
        listed = value if isinstance(value, list) else [value]
        option = {"i": "--input", "o": "--output"}[key[0]]
        command += [option, key[2:], *map(str, listed)]
    child = subprocess.Popen(command, cwd=folder, stderr=(folder / "log.txt").open("a"))
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{name} failed")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def run(folder: Path, count: int, fast: bool, measured: int) -> dict[str, object]:
    """Run the stages on the first objects; return what each took."""
    everything = pd.read_parquet(folder / "all.parquet")
    everything.iloc[:count].to_parquet(folder / "catalogue.parquet", index=False)
    tiles = pd.read_csv(folder / "tiles.csv")
    tiles = tiles.iloc[: -(-count * len(tiles) // len(everything))]
    write_csv(folder / "some.csv", tiles)
    measure = {
        "tiles": str(folder / "some.csv"),
        "catalogues": [{"path": str(folder / "catalogue.parquet")}],
        "objects_per_job": PER_JOB,
        "options": {"fast": fast},
    }
    config = load(REPOSITORY / "config/config.yaml", changes={"measure": measure})
    top = folder / f"results{count}"
    shutil.rmtree(top, ignore_errors=True)
    package = RELEASED / "package.json"
    names = sorted(Path(name).stem for name in tiles["image"])
    known = [folder / "tiles" / name / "tile.json" for name in names]
    for name, path in zip(names, known, strict=True):
        if name != FIRST and not path.is_file():
            known_first = read_json(known[0])
            known_first["tile"] |= {"name": name, "image": str(folder / f"{name}.fits")}
            header = fits.getheader(folder / f"{name}.fits")
            known_first["footprint"]["wcs"] = WCS(header).to_header_string(relax=True)
            write_json(path, known_first)
        elif not path.is_file():
            made = path.with_name("made")
            last = stage(
                *(folder, config, "measure_tile", {"tile": name}),
                i_package=package,
                o_tile=path,
                o_made=made,
            )
            (folder / "tile.txt").write_text(f"{last.seconds:.2f} {last.mib:.0f}")
    seconds, mib = (folder / "tile.txt").read_text().split()
    costs = {"tile": Cost(float(seconds), float(mib))}
    plan = {"objects": top / "objects", "jobs": top / "jobs.csv"}
    plan["unmeasured"] = top / "unmeasured.parquet"
    costs["plan"] = stage(
        *(folder, config, "measure_plan", {}),
        i_tiles=known,
        i_catalogues=folder / "catalogue.parquet",
        **{f"o_{key}": path for key, path in plan.items()},
    )
    table = pd.read_csv(plan["jobs"])
    full = table[(table["objects"] == PER_JOB) & (table["tile"] == FIRST)].index[:measured]
    jobs_cost, donor, size = [], None, 0.0
    for row in [*full, *table.index.difference(full)]:
        tile, cell, part = (table[key][row] for key in ("tile", "cell", "part"))
        objects = plan["objects"] / tile / f"{cell}-{part}.parquet"
        output = top / "parts" / tile / f"{cell}-{part}.parquet"
        cost = top / "costs" / tile / f"{cell}-{part}.json"
        if row in full:
            jobs_cost.append(
                stage(
                    *(folder, config, "measure_objects"),
                    {"tile": tile, "cell": cell, "part": part},
                    i_tile=folder / "tiles" / tile / "tile.json",
                    i_objects=objects,
                    i_package=package,
                    i_recalibration=[],
                    o_table=output,
                    o_cost=cost,
                )
            )
            donor, donor_cost = pq.read_table(output), cost
            size = output.stat().st_size / PER_JOB
            continue
        own = pd.read_parquet(objects)
        copied = donor.take(np.arange(len(own)) % len(donor))
        for name in ("_healpix_29", "id", "ra", "dec"):
            place = copied.schema.get_field_index(name)
            copied = copied.set_column(place, name, [own[name].to_numpy()])
        output.parent.mkdir(parents=True, exist_ok=True)
        cost.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(copied, output)
        shutil.copy(donor_cost, cost)
    costs["merge"] = stage(
        *(folder, config, "measure_merge", {}),
        i_jobs=plan["jobs"],
        i_parts=top / "parts",
        o_catalogue=top / "catalogue",
        o_counts=top / "counts.json",
    )
    costs["page"] = stage(
        *(folder, config, "measure_page", {}),
        i_jobs=plan["jobs"],
        i_tiles=known,
        i_unmeasured=plan["unmeasured"],
        i_costs=top / "costs",
        i_counts=top / "counts.json",
        o_page=top / "page.html",
    )
    found: dict[str, object] = {"objects": count, "tiles": len(tiles), "jobs": len(table)}
    per_job = [one.seconds for one in jobs_cost]
    found["job_ms"] = round(1000 * sum(per_job) / len(per_job) / PER_JOB, 2)
    found["job_mib"] = round(max(one.mib for one in jobs_cost))
    for name, one in costs.items():
        objects = count / len(tiles) if name == "tile" else count
        found |= {f"{name}_ms": round(1000 * one.seconds / objects, 4)}
        found |= {f"{name}_mib": round(one.mib)}
    return {**found, "bytes_per_object": round(size)}


def main() -> None:
    """Run every size and print the table: CPU milliseconds per object, and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--objects", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--jobs", type=int, default=1, help="measured at each size")
    parser.add_argument("--refined", action="store_true", help="with the refinement by the pixels")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    per_tile = len(range(SPACING, SIDE - SPACING, SPACING)) ** 2
    make_survey(folder, -(-max(arguments.objects) // per_tile))
    rows = []
    for count in sorted(arguments.objects):
        rows.append(run(folder, count, not arguments.refined, arguments.jobs))
        write_csv(folder / "bench.csv", pd.DataFrame(rows))
        print(pd.DataFrame(rows).T.to_string(header=False))


if __name__ == "__main__":
    main()
