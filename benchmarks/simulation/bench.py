"""How fast each renderer makes finished stamps: rendered, noisy and written to HDF5.

Every renderer runs in its own single-threaded process over the same galaxies of the CANDELS
study's ranges at 128 px; the fast ones draw them several times, with other noise. Rates are per
second of CPU time, because others use the machine. The loop's cost per galaxy is heavy-tailed (a
few large FFTs take most of it), so the error of its mean is printed: ratios to it are no better.
The table and the PSF are prepared before the clock starts, because they cost the same whether 1,000
or 150,000 stamps follow.

On a machine with an accelerator, ``bench.py --rendered ktable_jax`` measures the rendering alone.

- galsim_loop: GalSim as one writes it first: the PSF built for every stamp, its pixel by
  ``method="auto"``, default accuracy.
- galsim_tuned: one PSF with its pixel, ``no_pixel``, indices rounded to 0.05 and sorted, so that
  GalSim's cache of profiles serves.
- ktable, ktable_jax: ours.
- limit: inverse real FFTs of the periods ktable chooses, and the writing. No transform, no noise.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pandas as pd
from scipy import fft

from galadapt.config.image import Image, OpticalPsf
from galadapt.config.simulation import Noise, Simulation
from galadapt.core.files import write_csv
from galadapt.simulation.engine import Simulator
from galadapt.simulation.ktable import KTableRenderer
from galadapt.simulation.noise import add_noise, resolve
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.psf import make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.simulation.streams import stream
from galadapt.stamps.format import write_stamps

IMAGE = Image(stamp_size=128)
PSF = OpticalPsf()
NOISE = Noise(depth="wide")
SEED = 2026
# Galaxies of a round: all renderers draw those of one round before any draws the next, so that
# other users of the machine slow all alike.
GALAXIES, ROUNDS = 100, 4
# How often the galaxies of a round are drawn.
TIMES = {"galsim_loop": 1, "galsim_tuned": 1, "ktable": 10, "ktable_jax": 10, "limit": 10}
FFT_LIMIT = 16384
METADATA = {"pixel_scale": 0.06, "zero_point": 25.9463, "band": "F160W", "domain": "simulated"}


def galaxies(start: int, stop: int) -> pd.DataFrame:
    """Galaxies of the CANDELS study's ranges."""
    table = draw_parameters(Simulation(n_train=10**6), SEED, start, stop)
    table.insert(0, "id", np.arange(start, stop))
    table.insert(1, "split", "train")
    return table


def profile(row: dict, gsparams: galsim.GSParams) -> galsim.GSObject:
    """The galaxy in arcsec, as GalSim's documentation draws it."""
    q = 1 - row["ellipticity"]
    return galsim.Sersic(
        n=row["sersic_index"],
        half_light_radius=row["effective_radius"] * IMAGE.pixel_scale * np.sqrt(q),
        flux=10 ** (-0.4 * (row["magnitude"] - IMAGE.zero_point)),
        gsparams=gsparams,
    ).shear(q=q, beta=(row["position_angle"] + 90) * galsim.degrees)


def drawn(both: galsim.GSObject, row: dict, method: str) -> np.ndarray:
    """Draw a convolved profile."""
    side, offset = IMAGE.stamp_size, (row["x_offset"], row["y_offset"])
    return both.drawImage(
        nx=side, ny=side, scale=IMAGE.pixel_scale, method=method, offset=offset
    ).array


def loop(row: dict) -> np.ndarray:
    """One stamp of the plain loop."""
    optics = galsim.OpticalPSF(
        lam=PSF.wavelength,
        diam=PSF.diameter,
        obscuration=PSF.obscuration,
        nstruts=PSF.struts,
        strut_thick=0.022,
        strut_angle=45 * galsim.degrees,
    )
    psf = galsim.Convolve(optics, galsim.Gaussian(sigma=PSF.blur))
    gsparams = galsim.GSParams(maximum_fft_size=FFT_LIMIT)
    both = galsim.Convolve(profile(row, gsparams), psf, gsparams=gsparams)
    return drawn(both, row, "auto")


def finished(path: Path, table: pd.DataFrame, draw: Callable[[dict], np.ndarray]) -> list[float]:
    """Draw, add noise and write one stamp at a time; return the seconds each took to draw."""
    levels = resolve(NOISE)
    seconds = []

    def batches() -> Iterator[np.ndarray]:
        for row in table.to_dict("records"):
            start = time.process_time()
            light = draw(row)
            seconds.append(time.process_time() - start)
            noisy = add_noise(light, levels, stream(SEED, row["id"], "noise"))
            yield noisy.astype(np.float32, copy=False)[None]

    write_stamps(path, batches(), table, METADATA)
    return seconds


def ours(kind: str, path: Path, table: pd.DataFrame) -> float:
    """Warm up, then simulate as the pipeline does; return the seconds of the latter."""
    # The renderer keeps its grids in itself; the pipeline pays for them once per shard.
    renderer = make_renderer(IMAGE, make_psf(PSF, IMAGE.pixel_scale), kind)
    for _ in renderer.render_many(table[:GALAXIES].to_dict("records")):
        pass
    from galadapt.simulation import engine

    engine.make_renderer = lambda *_: renderer
    start = time.process_time()
    Simulator(IMAGE, PSF, NOISE, kind, SEED).write(path, table, {})
    return time.process_time() - start


def limit(path: Path, table: pd.DataFrame) -> float:
    """Transform and write only."""
    renderer = KTableRenderer(IMAGE, make_psf(PSF, IMAGE.pixel_scale))
    periods = [renderer.plan(row)[1] for row in table.to_dict("records")]
    rng = np.random.default_rng(SEED)
    spectra = {
        period: rng.standard_normal((period, period + 2), np.float32).view(np.complex64)
        for period in set(periods)
    }
    side = IMAGE.stamp_size

    def batches() -> Iterator[np.ndarray]:
        for period in periods:
            yield fft.irfft2(spectra[period])[None, :side, :side]

    start = time.process_time()
    write_stamps(path, batches(), table, METADATA)
    return time.process_time() - start


def work(kind: str, round_: int) -> dict[str, Any]:
    """Measure one renderer in this process on the galaxies of one round."""
    warnings.simplefilter("ignore", galsim.GalSimWarning)
    count = GALAXIES * TIMES[kind]
    mine = galaxies(round_ * GALAXIES, (round_ + 1) * GALAXIES)
    table = pd.concat([mine] * TIMES[kind], ignore_index=True)
    table["id"] = np.arange(count)
    each: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stamps.h5"
        if kind == "galsim_loop":
            start = time.process_time()
            each = finished(path, table, loop)
            seconds = time.process_time() - start
        elif kind == "galsim_tuned":
            table["sersic_index"] = (table["sersic_index"] / 0.05).round() * 0.05
            table["sersic_index"] = table["sersic_index"].clip(0.3, 6.2)
            table = table.sort_values("sersic_index")
            psf = make_psf(PSF, IMAGE.pixel_scale)
            gsparams = galsim.GSParams(maximum_fft_size=FFT_LIMIT)

            def tuned(row: dict) -> np.ndarray:
                both = galsim.Convolve(profile(row, gsparams), psf, gsparams=gsparams)
                return drawn(both, row, "no_pixel")

            start = time.process_time()
            finished(path, table, tuned)
            seconds = time.process_time() - start
        elif kind == "limit":
            seconds = limit(path, table)
        else:
            seconds = ours(kind, path, table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"stamps": count, "seconds": seconds, "peak_memory_mib": peak, "each": each}


def rendered(kind: str, count: int) -> None:
    """Print how many noiseless stamps per second a renderer draws, by the wall clock."""
    renderer = make_renderer(IMAGE, make_psf(PSF, IMAGE.pixel_scale), kind)
    rows = galaxies(0, count).to_dict("records")
    # The same galaxies: the second time every period is compiled.
    for _ in renderer.render_many(rows):
        pass
    start = time.perf_counter()
    for _ in renderer.render_many(rows):
        pass
    seconds = time.perf_counter() - start
    print(f"{kind}: {count} stamps rendered in {seconds:.2f} s, {count / seconds:.0f} per second")


def main() -> None:
    """Run every renderer and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/simulation.csv"))
    parser.add_argument("--worker", choices=sorted(TIMES), help=argparse.SUPPRESS)
    parser.add_argument("--round", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--rendered", choices=["ktable", "ktable_jax"], help="only draw, without noise and file"
    )
    parser.add_argument("--count", type=int, default=20_000, help="stamps to draw (%(default)s)")
    arguments = parser.parse_args()
    if arguments.rendered:
        rendered(arguments.rendered, arguments.count)
        return
    if arguments.worker:
        print(json.dumps(work(arguments.worker, arguments.round)))
        return
    kinds = ["galsim_loop", "galsim_tuned", "ktable", "limit"]
    if importlib.util.find_spec("jax"):
        kinds.insert(3, "ktable_jax")
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    measured: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for round_ in range(ROUNDS):
        for kind in kinds:
            command = [sys.executable, __file__, "--worker", kind, "--round", str(round_)]
            done = subprocess.run(
                command, env=os.environ | single, stdout=subprocess.PIPE, text=True, check=True
            )
            measured[kind].append(json.loads(done.stdout))
    rows = []
    for kind, rounds in measured.items():
        stamps, seconds = (sum(one[name] for one in rounds) for name in ("stamps", "seconds"))
        peak = max(one["peak_memory_mib"] for one in rounds)
        rows.append({"renderer": kind, "stamps": stamps, "stamps_per_second": stamps / seconds})
        rows[-1]["peak_memory_mib"] = peak
    each = np.concatenate([one["each"] for one in measured["galsim_loop"]])
    error = each.std() / np.sqrt(len(each)) / each.mean()
    table = pd.DataFrame(rows)
    rates = table.set_index("renderer")["stamps_per_second"]
    table["ratio_to_loop"] = table["stamps_per_second"] / rates["galsim_loop"]
    table["ratio_to_limit"] = table["stamps_per_second"] / rates["limit"]
    write_csv(arguments.output, table.round(3))
    print(table.round(3).to_string(index=False))
    print(f"sampling error of galsim_loop's rate: {100 * error:.0f} % ({len(each)} galaxies)")


if __name__ == "__main__":
    main()
