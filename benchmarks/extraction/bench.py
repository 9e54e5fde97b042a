"""How fast stamps are cut from a large mosaic, in how much memory, and where the time goes.

Makes a mosaic of Sersic galaxies at the density of the real sky (35 per square arcmin to
23.5 mag, and fainter ones) with a border without data as CANDELS' mosaics have, cuts a stamp for
each galaxy to 23.5 mag, and prints one table:

    python benchmarks/extraction/bench.py                 # 10,000 stamps, 5 GB of disk
    python benchmarks/extraction/bench.py --stamps 1000   # a tenth of it

Each row is a process of its own: CPU time and peak memory are its and its children's.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import multiprocessing
import os
import pstats
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from scipy.ndimage import gaussian_filter

SCALE, ZERO_POINT, RMS = 0.06, 25.9463, 0.0051
DENSITY, LIMIT, FAINTEST, SLOPE = 35.0, 23.5, 25.5, 0.26
BORDER = 1000
STEPS = {
    "read": "read",
    "background": "background",
    "smooth": "gaussian_filter",
    "segment": "_segments",
    "grow masks": "maximum_filter",
    "judge": "judge",
    "write": "write_stamps",
}


def make(folder: Path, count: int) -> None:
    """Write drz.fits, wht.fits and selected.parquet."""
    from galadapt.surveys.field import tangent_wcs

    rng = np.random.default_rng(1)
    inner = int(np.sqrt(count / DENSITY) * 60 / SCALE)
    side = inner + 2 * BORDER
    wcs = tangent_wcs((side, side), SCALE)
    header = wcs.to_header()
    header["BUNIT"] = "ELECTRONS/S"
    maps = {}
    for name in ("drz", "wht"):
        path = folder / f"{name}.fits"
        shell = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2)])
        shell.extend([("NAXIS1", side), ("NAXIS2", side)])
        shell.extend(header.cards)
        with path.open("wb") as file:
            file.write(shell.tostring().encode())
            start = file.tell()
            file.truncate(start + -(-4 * side * side // 2880) * 2880)
        maps[name] = np.memmap(path, ">f4", "r+", offset=start, shape=(side, side))
    drz = maps["drz"]
    for low in range(BORDER, side - BORDER, 1000):
        rows = slice(low, min(low + 1000, side - BORDER))
        noise = gaussian_filter(rng.standard_normal((rows.stop - low, inner), np.float32), 0.6)
        drz[rows, BORDER : side - BORDER] = noise * np.float32(RMS / noise.std())
        maps["wht"][rows, BORDER : side - BORDER] = RMS**-2
    total = int(count * 10 ** (SLOPE * (FAINTEST - LIMIT)))
    share = rng.uniform(0, 1, total)
    bright = 10 ** (SLOPE * (18 - FAINTEST))
    magnitude = FAINTEST + np.log10(bright + share * (1 - bright)) / SLOPE
    x, y = rng.uniform(BORDER, side - BORDER, (2, total))
    radius = np.exp(rng.normal(np.log(5.0), 0.5, total)) * 10 ** (-0.1 * (magnitude - 22))
    index = np.exp(rng.normal(0.5, 0.5, total)).clip(0.5, 5)
    ratio, angle = rng.uniform(0.3, 1, total), rng.uniform(0, np.pi, total)
    for k in range(total):
        half = int(np.clip(12 * radius[k], 24, 160))
        a, b = max(round(x[k]) - half, 0), max(round(y[k]) - half, 0)
        columns = np.arange(a, min(round(x[k]) + half, side)) - x[k]
        rows = (np.arange(b, min(round(y[k]) + half, side)) - y[k])[:, None]
        along = columns * np.cos(angle[k]) + rows * np.sin(angle[k])
        across = rows * np.cos(angle[k]) - columns * np.sin(angle[k])
        # The PSF, roughly: no core is sharper than its 1.4 px.
        distance = np.sqrt(along**2 + (across / ratio[k]) ** 2 + 1.4**2) / radius[k]
        light = np.exp(-(2 * index[k] - 1 / 3) * distance ** (1 / index[k]))
        light *= 10 ** (-0.4 * (magnitude[k] - ZERO_POINT)) / light.sum()
        drz[b : b + light.shape[0], a : a + light.shape[1]] += light
    # Nothing was observed in the border.
    drz[:BORDER], drz[-BORDER:], drz[:, :BORDER], drz[:, -BORDER:] = 0, 0, 0, 0
    ra, dec = wcs.pixel_to_world_values(x, y)
    table = pd.DataFrame({"id": np.arange(total), "ra": ra, "dec": dec, "magnitude": magnitude})
    table["effective_radius"], table["sersic_index"] = radius, index
    table["ellipticity"], table["position_angle"], table["flag"] = 1 - ratio, 0.0, 0
    listed = table[table["magnitude"] <= LIMIT].iloc[:count]
    listed.to_parquet(folder / "selected.parquet", index=False)
    for one in maps.values():
        one.flush()


class _Watch(threading.Thread):
    """Samples the memory of this process and its children [KiB].

    Pages of mapped files are left out: the kernel takes them back when it needs them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: list[int] = []

    def run(self) -> None:
        while True:
            family = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
            self.peaks.append(sum(_anonymous(pid) for pid in family if pid is not None))
            time.sleep(0.05)


def _anonymous(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def cut(folder: Path, size: int, processes: int, profiled: bool, settings: str) -> None:
    """Extract, and print what it took as JSON."""
    from galadapt.config.image import Image
    from galadapt.config.survey import Extraction, Splits
    from galadapt.cutouts.cutouts import extract

    profile = cProfile.Profile()
    watch = _Watch()
    watch.start()
    before, start = os.times(), time.perf_counter()
    if profiled:
        profile.enable()
    table = extract(
        folder / "drz.fits",
        folder / "wht.fits",
        folder / "selected.parquet",
        Image(stamp_size=size, pixel_scale=SCALE, zero_point=ZERO_POINT),
        Extraction.model_validate_json(settings),
        Splits(by="id"),
        1,
        folder / f"stamps{processes}.h5",
        folder / "rejected.csv",
        {},
        processes,
    )
    profile.disable()
    wall, after = time.perf_counter() - start, os.times()
    steps = {}
    if profiled:
        stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
        whole = max(entry[3] for entry in stats.values())
        for step, function in STEPS.items():
            taken = sum(entry[3] for key, entry in stats.items() if key[2] == function)
            steps[step] = taken / whole
    print(
        json.dumps(
            {
                "kept": len(table),
                "wall": wall,
                "cpu": sum(after[:4]) - sum(before[:4]),
                "peak": max(watch.peaks, default=0) / 2**20,
                "steps": steps,
            }
        )
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stamps", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--settings", default="{}", help="extraction settings as JSON")
    parser.add_argument("--folder", type=Path, help="keep the mosaic here and use it again")
    parser.add_argument("--run", nargs=2, type=int, metavar=("PROCESSES", "PROFILED"))
    arguments = parser.parse_args()
    if arguments.run:
        processes, profiled = arguments.run
        cut(arguments.folder, arguments.size, processes, bool(profiled), arguments.settings)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "selected.parquet").exists():
            make(folder, arguments.stamps)
        count = len(pd.read_parquet(folder / "selected.parquet"))
        side = fits.getheader(folder / "drz.fits")["NAXIS1"]
        print(f"{count} objects, stamps of {arguments.size} px, mosaic of {side} px")
        print(
            f"{'processes':>9} {'wall s':>7} {'CPU s':>7} {'stamps/s':>9} {'per core':>9} ", end=""
        )
        print(f"{'Mpx/s':>6} {'peak GiB':>9} {'kept':>6}")
        command = [sys.executable, __file__, "--folder", str(folder), "--size", str(arguments.size)]
        command += ["--settings", arguments.settings, "--run"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        for processes, profiled in ((1, 0), (2, 0), (1, 1)):
            done = subprocess.run(
                [*command, str(processes), str(profiled)],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            row = json.loads(done.stdout)
            if profiled:
                steps = ", ".join(f"{name} {share:.0%}" for name, share in row["steps"].items())
                print(f"share of the time (1 process, profiled): {steps}")
                continue
            rate = count / row["wall"]
            print(f"{processes:9d} {row['wall']:7.1f} {row['cpu']:7.1f} {rate:9.0f} ", end="")
            print(
                f"{count / row['cpu']:9.0f} {(side - 2 * BORDER) ** 2 / 1e6 / row['wall']:6.1f} ",
                end="",
            )
            print(f"{row['peak']:9.2f} {row['kept']:6d}", flush=True)
        same = (folder / "stamps1.h5").read_bytes() == (folder / "stamps2.h5").read_bytes()
        print(f"same bytes with 1 and 2 processes: {same}")


if __name__ == "__main__":
    main()
