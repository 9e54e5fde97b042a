"""Descriptions of a package: valid images, accuracy, origin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galadapt.core.photometry import magnitude_of
from galadapt.core.quantity import PARAMETERS, QUANTITIES
from galadapt.general.package import GeneralRecord
from galadapt.prediction.package import Record

#: How sentences and tables print the ranges of the parameters.
_FORMATS = {
    "magnitude": "{:.1f}",
    "effective_radius": "{:.2f}",
    "sersic_index": "{:.1f}",
    "ellipticity": "{:.2f}",
}


def noise(record: Record) -> float:
    """Surface brightness [mag/arcsec2] of the training's noise, one sigma of one pixel."""
    return float(magnitude_of(record.pixel_rms / record.pixel_scale**2, record.zero_point))


def scope(record: Record) -> list[str]:
    """For which images and galaxies a package holds, and how far its errors do, line by line."""
    width = f"{record.psf_fwhm:.3f} arcsec"
    sky = f"{noise(record):.1f} mag/arcsec2 (1 sigma in a pixel of {record.pixel_scale:g} arcsec)"
    if record.noise_is_input:
        lines = [
            f"any image with its PSF as input, here {width} wide (FWHM); typical noise of this one "
            f"{sky}",
            f"valid at this noise for {_ranges(record)}; where the noise differs, limits of "
            "magnitude move with it",
        ]
    else:
        lines = [
            f"networks for {_plain(record.band)} images with a PSF of {width} (FWHM) and noise of "
            f"{sky}",
            f"valid for {_ranges(record)}",
        ]
    for row in record.whole_coverage:
        if row.get("level") == 0.68:
            shares = ", ".join(
                f"{QUANTITIES[name].symbol} {_percent(row.get(name), 0)}" for name in PARAMETERS
            )
            lines.append(
                f"its 68% errors hold the truth of {row.get('n')} {row.get('domain')} test "
                f"galaxies to {shares}"
            )
    return lines


def adaptation(record: Record) -> str:
    """Survey that the networks were adapted to, with or without labels."""
    if "survey" in record.labels_of:
        return f"{_plain(record.survey)}, with labels"
    if "survey" in record.feature_domains:
        return f"{_plain(record.survey)}, no labels"
    return "none"


def listing(packages: Sequence[tuple[str, Record]]) -> str:
    """Tabulate packages by their names, one row each."""
    rows = []
    for name, record in packages:
        tested = {quality.domain for quality in record.quality if quality.n}
        # The survey where its test galaxies are labelled, else the simulations.
        domain = next((domain for domain in ("survey", "simulated") if domain in tested), None)
        tests = [quality for quality in record.quality if quality.domain == domain]
        row = {
            "name": name,
            "band": _plain(record.band),
            "PSF": f"{record.psf_fwhm:.3f}",
            "noise": f"{noise(record):.1f}",
            **{QUANTITIES[p].symbol: _range(record, p, "-") for p in record.parameters},
            "adapted to": adaptation(record),
            "tested on": domain or "nothing",
            "R²": " ".join(_number(quality.r2) for quality in tests) or "-",
            "NMAD": " ".join(_number(quality.scatter) for quality in tests) or "-",
            "seeds": str(len(record.members)),
            "size": f"{record.size / 1e6:.1f} MB",
            "licence": _plain(record.licence),
        }
        rows.append(row)
    return "\n".join(
        [
            *_aligned(pd.DataFrame(rows).fillna("-")),
            "",
            "PSF: FWHM [arcsec]. noise: 1 sigma per pixel [mag/arcsec2]. r_e [arcsec].",
            "R², NMAD: mean of all seeds, on test galaxies: m, r_e (relative), n (dex), e.",
        ]
    )


def sheet(name: str, record: Record | GeneralRecord) -> str:
    """What a user should know before measuring with a package."""
    if isinstance(record, GeneralRecord):
        return card(name, record)
    start = record.method.get("starts_from")
    seeds = ", ".join(str(member.seed) for member in record.members)
    facts = {
        "measures": ", ".join(QUANTITIES[p].label for p in record.parameters),
        "band": f"{_plain(record.band)} (zero point {record.zero_point:g})",
        "stamps": f"{record.stamp_size} px of {record.pixel_scale:g} arcsec",
        "PSF": f"{record.psf_fwhm:.3f} arcsec (FWHM), {record.psf.kind}",
        "noise": f"{record.pixel_rms:.4g} per pixel: 1 sigma is {noise(record):.1f} mag/arcsec2",
        "valid for": _ranges(record),
        "adapted to": adaptation(record),
        "labels of": _plain(
            " and ".join(record.labels_of) + (f", starting from {start}" if start else "")
        ),
        "errors from": " and ".join(record.reference_domains)
        + " galaxies that no network was trained on",
        "networks": f"{len(record.members)} (seeds {seeds}), {record.size / 1e6:.1f} MB",
        "licence": _plain(record.licence),
        "please cite": _plain(record.citation) or "not stated",
        "made by": f"galadapt {_plain(record.version)}",
        "digest": record.digest,
    }
    lines = _listed(name, facts)
    table = _tests(record)
    if table.empty:
        return "\n".join([*lines, "No test galaxies with labels: the accuracy is unknown."])
    lines.append("Test galaxies (mean of all networks; bias is the median error):")
    return "\n".join([*lines, *_aligned(table)])


def card(name: str, record: GeneralRecord) -> str:
    """Model card of the package for any image: what it holds for, and how accurate it is."""
    ranges = record.ranges
    magnitudes = 2.5 / np.log(10) * np.array([ranges["ln_flux"].low, ranges["ln_flux"].high])
    facts = {
        "measures": ", ".join(QUANTITIES[p].label for p in PARAMETERS)
        + ", position angle, centre, with their covariance",
        "images": "any band, zero point and pixel scale; the PSF is an input",
        "PSF": f"{ranges['psf_fwhm'].low:.1f} to {ranges['psf_fwhm'].high:.1f} px (FWHM)",
        "brightness": f"{magnitudes[0]:.1f} to {magnitudes[1]:.1f} mag above the noise of a pixel",
        "r_e": f"{ranges['effective_radius'].low:.1f} to {ranges['effective_radius'].high:.0f} px",
        "n": f"{ranges['sersic_index'].low:.1f} to {ranges['sersic_index'].high:.1f}",
        "trained on": f"{record.stamps:,} simulated stamps, {record.cpu_seconds / 60:.0f} minutes "
        "of one core; no survey label",
        "errors": "calibrated on simulations of another seed",
        "not for": "stars, mergers, galaxies larger than a stamp of 128 px, saturated cores",
        "size": f"{record.size / 1e6:.1f} MB (ONNX)",
        "licence": _plain(record.licence),
        "please cite": _plain(record.citation),
        "made by": f"galadapt {_plain(record.version)}",
        "digest": record.digest,
    }
    lines = _listed(name, facts)
    for title, rows in (
        ("Simulated test galaxies, all depths, the network alone:", record.quality),
        ("The same, refined by the pixels and fused:", record.refined_quality or ()),
    ):
        table = pd.DataFrame(rows)
        if table.empty:
            continue
        whole = table["ln_flux_high"] - table["ln_flux_low"]
        lines += [title, *_aligned(_scores(table[whole == whole.max()])), ""]
    lines.append("NMAD: magnitude [mag], radius relative, index in dex, ellipticity absolute.")
    return "\n".join(lines)


def _scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores of the package for any image as text, with as many digits as mean something."""
    shown = pd.DataFrame({"galaxies of": rows["kind"], "number": rows["n"].map("{:,}".format)})
    quantities = rows["quantity"].map(lambda name: name.replace("_", " "))
    shown.insert(1, "quantity", quantities)
    for head, column in (("R²", "r2"), ("bias", "bias"), ("NMAD", "nmad")):
        shown[head] = rows[column].map(_number)
    for level in ("68", "95"):
        shown[f"in {level} % errors"] = rows[f"cover{level}"].map(lambda share: _percent(share, 1))
    return shown


def _listed(name: str, facts: dict[str, str]) -> list[str]:
    width = max(map(len, facts))
    return [name, *(f"  {key:<{width}}  {value}" for key, value in facts.items()), ""]


def _tests(record: Record) -> pd.DataFrame:
    """Quality and coverage of all magnitudes together, a row per domain and parameter."""
    rows = []
    for quality in record.quality:
        if not quality.n:
            continue
        row = {
            "domain": quality.domain,
            "parameter": QUANTITIES[quality.parameter].label,
            "galaxies": quality.n,
            "R²": _number(quality.r2),
            "bias": _number(quality.bias),
            "NMAD": _number(quality.scatter),
        }
        for covered in record.whole_coverage:
            if covered.get("domain") == quality.domain:
                level, share = covered.get("level"), covered.get(quality.parameter)
                row[f"in {_percent(level, 0)} errors"] = _percent(share, 1)
        rows.append(row)
    return pd.DataFrame(rows)


def _aligned(table: pd.DataFrame) -> list[str]:
    """Lines of a table of texts, its columns set left and two spaces apart."""
    cells = [list(map(str, table)), *table.astype(str).to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _ranges(record: Record) -> str:
    claimed, trained = record.claimed_ranges["magnitude"], record.training_ranges["magnitude"]
    magnitude = (
        f"magnitude {claimed.low:.1f} to {claimed.high:.1f} (to {trained.high:.1f} where the "
        "pixels confirm it)"
    )
    others = [f"{QUANTITIES[name].label} {_range(record, name)}" for name in PARAMETERS[1:]]
    return ", ".join([magnitude, f"{others[0]} arcsec", *others[1:]])


def _range(record: Record, name: str, between: str = " to ") -> str:
    interval, text = record.training_ranges[name], _FORMATS[name]
    unit = record.pixel_scale if name == "effective_radius" else 1.0
    return between.join(text.format(unit * end) for end in (interval.low, interval.high))


def _plain(text: object) -> str:
    """One line without control characters: a fetched record is somebody else's text."""
    line = " ".join(str(text).split())
    return "".join(sign if sign.isprintable() else "?" for sign in line)


def _percent(share: object, digits: int) -> str:
    return f"{100 * share:.{digits}f} %" if isinstance(share, int | float) else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
