"""What the network for any image loses by serving all PSFs: networks for one PSF each.

For each of the five PSFs of `bench.py` the released network is trained further on simulations that
have no other PSF, and released as any package. Both then measure the galaxies that `bench.py`
draws. A stopped run continues; trainings that are finished are kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import bench
import galsim
import pandas as pd
from astropy.io import fits

from galadapt.config.base import Interval
from galadapt.config.general import General
from galadapt.config.image import FitsPsf
from galadapt.core.files import write_csv, write_json
from galadapt.core.log import to_stderr
from galadapt.general.package import RECORD, RELEASED, GeneralPackage, read
from galadapt.simulation.psf import fwhm, make_psf

#: The course of a training, as `galadapt.general.train` names it: that module would bring Keras.
_HISTORY = "history.csv"

#: Side of the images of PSFs in pixels of the image, and samples of each.
_SIDE, _FINE = 128, 3

_QUANTITIES = ("magnitude", "ln_radius", "ln_index", "ellipticity")


def recipe(psf: galsim.GSObject, scale: float, image: Path) -> General:
    """The released network's recipe with one PSF, whose image is written."""
    side, step = _SIDE * _FINE, scale / _FINE
    drawn = psf.drawImage(nx=side, ny=side, scale=step, method="no_pixel", dtype=float).array
    fits.writeto(image, drawn / drawn.sum(), overwrite=True)
    width = fwhm(psf, scale) / scale
    released = read(RELEASED).record.recipe
    one = released.draws.psf.model_copy(
        update={
            "fwhm": Interval(low=0.998 * width, high=1.002 * width),
            "ellipticity": Interval(low=0.0, high=1e-4),
            "shares": [0.0, 0.0, 0.0, 1.0],
            "images": [FitsPsf(path=str(image), pixel_scale=step)],
        }
    )
    training = released.training.model_copy(update={"start": "released"})
    draws = released.draws.model_copy(update={"psf": one})
    return released.model_copy(update={"draws": draws, "training": training})


def trained(name: str, folder: Path, steps: int, sets: int) -> GeneralPackage:
    """Train the network of a PSF further and release it, unless that is done; open its package."""
    package, run = folder / "package", folder / "training"
    history = run / _HISTORY
    left = steps - (int(pd.read_csv(history)["step"].iloc[-1]) if history.is_file() else 0)
    if not (package / RECORD).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        settings, scale = bench.PSFS[name]
        made = recipe(make_psf(settings, scale), scale, (folder / "psf.fits").resolve())
        # JSON is YAML.
        given = folder / "general.yaml"
        write_json(given, made.model_dump(mode="json"))
        if left > 0:
            _galadapt("train", given, "-o", run, "--steps", left)
        _galadapt("end", given, "-o", run)
        _galadapt("release", given, "--training", run, "-o", package, "--sets", sets)
    return read(package)


def _galadapt(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "galadapt", "general", *map(str, words)], check=True)


def compared(name: str, special: GeneralPackage, count: int) -> list[dict[str, object]]:
    """Scatter of the released network and of the one for this PSF, over all galaxies."""
    settings, scale = bench.PSFS[name]
    psf = make_psf(settings, scale)
    theta = bench.five_galaxies(count)
    everywhere = theta[:, 0] < bench.RANGES["ln_flux"][1]
    rows: list[dict[str, object]] = []
    tables = {
        kind: bench.measured(package, theta, psf, scale, bench.SEED + 1)[0]
        for kind, package in (("released", read(RELEASED)), ("one PSF", special))
    }
    for answer in ("fast", "refined"):
        for kind, found in tables.items():
            values = bench.compared(*found[answer], theta, everywhere)
            rows.append({"psf": name, "answer": answer, "network": kind, **values})
        any_psf, one_psf = rows[-2:]
        ratio = {
            f"{quantity}_nmad": any_psf[f"{quantity}_nmad"] / one_psf[f"{quantity}_nmad"]
            for quantity in _QUANTITIES
        }
        rows.append({"psf": name, "answer": answer, "network": "ratio", **ratio})
    return rows


def main() -> int:
    """Train, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="of each training, before its end")
    parser.add_argument("--sets", type=int, default=10, help="sets of 512 galaxies of each test")
    parser.add_argument("--count", type=int, default=2000, help="galaxies per PSF")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/specialists"))
    arguments = parser.parse_args()
    to_stderr()
    rows: list[dict[str, object]] = []
    for number, name in enumerate(bench.PSFS):
        folder = arguments.output / f"psf_{number}"
        special = trained(name, folder, arguments.steps, arguments.sets)
        rows += compared(name, special, arguments.count)
        table = pd.DataFrame(rows)
        write_csv(arguments.output / "specialists.csv", table)
    print(table.round(4).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
