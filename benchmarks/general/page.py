"""Tables for docs/reference/shipped-network.md, of a package's record and of bench.py's tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galadapt.general.package import RELEASED, read

NAMES = ("magnitude", "effective_radius", "sersic_index", "ellipticity")


def short(value: float, digits: int) -> str:
    """A number without the zero before its point."""
    text = f"{value:.{digits}f}"
    sign, size = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + (size[1:] if size.startswith("0.") else size)


def record_table(rows: Sequence[dict[str, Any]], kind: str) -> list[str]:
    """NMAD, R2 and coverage by brightness of one kind of galaxies."""
    lines = [
        "| ln(flux/noise) | n | NMAD mag, r_e, n [dex], e | R² mag, ln r_e, ln n, e | "
        "within 68 % errors | within 95 % errors |",
        "|---|---|---|---|---|---|",
    ]
    table = pd.DataFrame(rows)
    groups = table[table["kind"] == kind].groupby(["ln_flux_low", "ln_flux_high"])
    # All brightnesses together come first.
    for (low, high), some in sorted(groups, key=lambda one: (one[0][1] - one[0][0] < 9, one[0])):
        found = some.set_index("quantity").loc[list(NAMES)]
        cells = [" ".join(short(value, 3) for value in found[name]) for name in ("nmad", "r2")]
        cells += [
            " ".join(short(value, 2) for value in found[name]) for name in ("cover68", "cover95")
        ]
        count = int(found["n"].iloc[0])
        lines.append(f"| {low:g} to {high:g} | {count} | " + " | ".join(cells) + " |")
    return lines


def psf_table(path: Path) -> list[str]:
    """NMAD of each PSF and answer over all brightnesses, with the time."""
    lines = [
        "| PSF | FWHM [px] | answer | NMAD mag, ln r_e, ln n, e | R² | within 68 % | CPU ms |",
        "|---|---|---|---|---|---|---|",
    ]
    table = pd.read_csv(path)
    names = ("magnitude", "ln_radius", "ln_index", "ellipticity")
    for _, row in table[table["high"] - table["low"] > 6].iterrows():
        cells = [
            " ".join(short(row[f"{name}_{kind}"], 3) for name in names) for kind in ("nmad", "r2")
        ]
        cells.append(" ".join(short(row[f"{name}_cover68"], 2) for name in names))
        about = f"| {row['psf']} | {row['fwhm_px']:.1f} | {row['answer']} | "
        lines.append(about + " | ".join(cells) + f" | {row['cpu_ms']:.1f} |")
    return lines


def euclid_table(path: Path) -> list[str]:
    """Dispersions in the four bins of the Euclid Morphology Challenge."""
    lines = ["| | r_e | n | q |", "|---|---|---|---|"]
    for answer, rows in pd.read_csv(path).groupby("answer", sort=False):
        cells = [
            " ".join(short(value, 3) for value in rows[f"{name}_dispersion"])
            for name in ("radius", "index", "axis_ratio")
        ]
        lines.append(f"| galadapt, {answer} | " + " | ".join(cells) + " |")
    return lines


def cosmos_table(path: Path) -> list[str]:
    """R2 of the COSMOS galaxies."""
    lines = ["| answer | quantity | R² (95 % interval) | without the 5 worst | bias | NMAD |"]
    lines.append("|---|---|---|---|---|---|")
    for _, row in pd.read_csv(path).iterrows():
        lines.append(
            f"| {row['answer']} | {row['quantity']} | {row['r2']:.3f} ({row['low']:.2f} to "
            f"{row['high']:.2f}) | {row['r2_without_5']:.3f} | {row['bias']:+.3f} | "
            f"{row['nmad']:.3f} |"
        )
    return lines


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, default=RELEASED)
    parser.add_argument("--tables", type=Path, default=Path("results/benchmarks/general"))
    arguments = parser.parse_args()
    record = read(arguments.package).record
    print(
        f"{record.steps} steps, {record.stamps} stamps, {record.cpu_seconds:.0f} s; joint coverage "
        f"{record.provenance['joint_coverage']}\n"
    )
    for title, rows in (("network", record.quality), ("refined", record.refined_quality)):
        for kind in ("all", "single", "crowded", "composite"):
            print(f"{title}, {kind}\n")
            print("\n".join(record_table(rows, kind)) + "\n")
    print("\n".join(psf_table(arguments.tables / "psfs.csv")) + "\n")
    print("\n".join(euclid_table(arguments.tables / "euclid.csv")) + "\n")
    if (arguments.tables / "cosmos.csv").is_file():
        print("\n".join(cosmos_table(arguments.tables / "cosmos.csv")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
