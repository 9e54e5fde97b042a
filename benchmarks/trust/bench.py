"""Can `galadapt predict` be believed, on images it was not made for? The table of it.

Draws the images of `scenes`, measures them with one package, and counts: how many truths lie within
one error, which objects without any flag are off by more than four, and how many correct
measurements inside the claimed range are flagged (the price of the flags).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scenes

from galadapt.config.simulation import Noise
from galadapt.core.extraction_flags import names
from galadapt.core.files import expand, write_csv
from galadapt.core.quantity import PARAMETERS
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.flags import Flag
from galadapt.prediction.inputs import prepare
from galadapt.prediction.predict import predict
from galadapt.simulation.noise import resolve

#: Side of the drizzled drop of the default noise [px of the plain grid].
DROP = resolve(Noise()).drop

#: The grids that must give the plain one's numbers.
GRIDS = {
    "plain, white": scenes.Grid(),
    "turned 50 deg": scenes.Grid(turn=50),
    "flipped": scenes.Grid(flipped=True),
    ".02 arcsec/px": scenes.Grid(0.02),
    ".03 arcsec/px": scenes.Grid(0.03),
    ".1 arcsec/px": scenes.Grid(0.1),
}

#: Column of the catalogue that holds a parameter in the units of the truth.
COLUMN = {"effective_radius": "effective_radius_arcsec"}

#: An error this many times too small, without a flag, is what must not happen.
TOO_FAR = 4.0


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a model package")
    parser.add_argument("--data", default="$GALADAPT_DATA", help="folder with psf/")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/trust"))
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--sets", nargs="+", help="only these")
    options = parser.parse_args()
    psf = scenes.psf_on_sky(expand(options.data) / "psf" / "hst_wfc3_f160w_060mas.fits")
    tables = measure_all(options.model, psf, options.output, options.seed, options.sets)
    joined = pd.concat(tables, ignore_index=True)
    write_csv(options.output / "objects.csv", joined)
    table = summary(joined, claimed(options.model, psf, options.output, options.seed))
    write_csv(options.output / "trust.csv", table)
    print(table.to_string(index=False, float_format="{:.2f}".format))
    print_offenders(joined)
    print_grids(joined)


def claimed(model: Path, psf: object, output: Path, seed: int) -> dict[str, tuple[float, float]]:
    """Ranges that a package claims in the plain image; radii in arcsec."""
    files = scenes.write_mosaic(
        output / "plain", scenes.clean(seed), psf, DROP, seed, scenes.Grid()
    )
    inputs = Inputs(images=[files.image], catalog=files.catalogue, psf=files.psf)
    record = prepare(model, inputs).package.record
    found = {name: (one.low, one.high) for name, one in record.claimed_ranges.items()}
    low, high = found["effective_radius"]
    found["effective_radius"] = low * record.pixel_scale, high * record.pixel_scale
    return found


def measure_all(
    model: Path, psf: object, output: Path, seed: int, only: Sequence[str] | None = None
) -> list[pd.DataFrame]:
    """Draw and measure every set: one table each, the truths in columns `<parameter>_true`."""
    plans = {
        "clean, drizzled": (scenes.clean(seed), DROP, scenes.Grid()),
        "faint, drizzled": (scenes.faint(seed), DROP, scenes.Grid()),
        "odd": (scenes.odd(seed), DROP, scenes.Grid()),
        **{name: (scenes.clean(seed), 0.0, grid) for name, grid in GRIDS.items()},
    }
    tables = []
    for name, (table, drop, grid) in plans.items():
        if only and name not in only:
            continue
        folder = output / name.replace(" ", "_").replace(",", "")
        files = scenes.write_mosaic(folder, table, psf, drop, seed, grid)
        inputs = Inputs(
            images=[files.image], catalog=files.catalogue, psf=files.psf, psf_pixel_scale=grid.scale
        )
        tables.append(_measured(model, inputs, folder, files.truth, name))
    if not only or "tight frames" in only:
        folder = output / "tight_frames"
        files = scenes.write_cutouts(folder, psf, seed)
        inputs = Inputs(cutouts=[files.image], psf=files.psf, psf_pixel_scale=scenes.SCALE)
        tables.append(_measured(model, inputs, folder, files.truth, "tight frames"))
    return tables


def _measured(
    model: Path, inputs: Inputs, folder: Path, truth: pd.DataFrame, name: str
) -> pd.DataFrame:
    found = predict(model, inputs, folder / "measured.csv")
    table = found.reset_index(drop=True)
    table.insert(0, "set", name)
    table["kind"] = truth["kind"].to_numpy()
    table["known"] = [names(int(bits), Flag) for bits in table["flags"]]
    for parameter in PARAMETERS:
        column = COLUMN.get(parameter, parameter)
        # A star or a spike has a magnitude, but no profile.
        galaxy = truth["kind"].isin(["galaxy", "edge"])
        known = truth["kind"] != "noise" if parameter == "magnitude" else galaxy
        table[f"{parameter}_true"] = truth[column].where(known).to_numpy()
        error = table[column] - table[f"{parameter}_true"]
        table[f"{parameter}_pull"] = error / table[f"{column}_err"]
    return table


def summary(table: pd.DataFrame, ranges: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """One row per set."""
    rows = []
    for name, here in table.groupby("set", sort=False):
        pulls = here[[f"{p}_pull" for p in PARAMETERS]].to_numpy(float)
        clear = (here["flags"] == 0).to_numpy()
        far = (np.abs(pulls) > TOO_FAR).any(axis=1)
        # A fake source has no truth: unflagged, it is wrong whatever its numbers.
        wrong = far | (here["kind"].isin(["noise", "spike", "star"]) & clear).to_numpy()
        inside = np.ones(len(here), bool)
        for parameter, (low, high) in ranges.items():
            value = here[f"{parameter}_true"].to_numpy(float)
            inside &= (value >= low) & (value <= high)
        correct = inside & (np.abs(pulls) <= 2).all(axis=1) & np.isfinite(pulls).all(axis=1)
        row = {
            "set": name,
            "n": len(here),
            "clear": int(clear.sum()),
            "clear_and_wrong": int((clear & wrong).sum()),
        }
        for parameter, pull in zip(PARAMETERS, pulls.T, strict=True):
            known = np.isfinite(pull)
            row[f"in_1_{parameter[:9]}"] = (
                float((np.abs(pull[known]) <= 1).mean()) if known.any() else np.nan
            )
        known = np.isfinite(pulls).all(axis=1) & clear
        row["in_1_clear"] = float((np.abs(pulls[known]) <= 1).mean()) if known.any() else np.nan
        row["correct"] = int(correct.sum())
        row["price"] = float((~clear)[correct].mean()) if correct.any() else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def print_offenders(table: pd.DataFrame) -> None:
    """Name the objects without a flag that are off by more than `TOO_FAR` errors."""
    pulls = table[[f"{p}_pull" for p in PARAMETERS]].abs().max(axis=1)
    fake = table["kind"].isin(["noise", "spike", "star"])
    for _, row in table[(table["flags"] == 0) & ((pulls > TOO_FAR) | fake)].iterrows():
        found = ", ".join(
            f"{p} {row[COLUMN.get(p, p)]:.2f}+-{row[COLUMN.get(p, p) + '_err']:.2f} "
            f"({row[f'{p}_true']:.2f})"
            for p in PARAMETERS
        )
        print(f"{row['set']}: {row['kind']} {row['id']}, S/N {row['signal_to_noise']:.0f}: {found}")


def print_grids(table: pd.DataFrame) -> None:
    """Compare every grid with the plain one: differences in their common error, and flags.

    Each image has noise of its own: of right errors 68 % of the differences lie within one.
    """
    by_set = {name: here.set_index("id") for name, here in table.groupby("set")}
    plain = by_set.get("plain, white")
    if plain is None:
        return
    for name in GRIDS:
        if name not in by_set or by_set[name] is plain:
            continue
        other = by_set[name].reindex(plain.index)
        shares = []
        for parameter in PARAMETERS:
            column = COLUMN.get(parameter, parameter)
            error = np.hypot(other[f"{column}_err"], plain[f"{column}_err"])
            apart = (other[column] - plain[column]).abs() / error
            shares.append(f"{parameter} {float((apart.dropna() <= 1).mean()):.2f}")
        same = float((other["flags"] == plain["flags"]).mean())
        print(
            f"{name}: within one common error of plain: {', '.join(shares)}; same flags {same:.2f}"
        )


if __name__ == "__main__":
    main()
