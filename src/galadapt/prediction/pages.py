"""Pages of the documentation that come from code: the flags and the columns of a catalogue.

``galadapt document`` writes them; a test fails when they drift. They are committed, so that they
can be read in a clone.
"""

from __future__ import annotations

from pathlib import Path

from galadapt.core.files import write_text
from galadapt.prediction.catalogue import COLUMNS
from galadapt.prediction.flags import NO_MAGNITUDE, NO_SHAPE, POOR_CHI2, REMEDIES, Flag

_GENERATED = "<!-- Generated from src/galadapt/{} by `galadapt document`; edit that. -->\n\n"

_FLAGS = f"""# Flags

Bits of the column `flags` of a catalogue. 0: no check failed. Few objects of a deep or crowded
field have no flag at all: choose by what you need.

## A usable sample

| you need | leave out the flags marked | all in one number | in Python |
|---|---|---:|---|
| magnitudes | magnitude | {NO_MAGNITUDE} | `(table["flags"] & galadapt.NO_MAGNITUDE) == 0` |
| radius, Sérsic index, ellipticity | magnitude or shape | {NO_SHAPE} | \
`(table["flags"] & galadapt.NO_SHAPE) == 0` |

In TOPCAT the first is `(flags & {NO_MAGNITUDE}) == 0`. Flags marked `hint` spoil no value by
themselves: look at a few of these objects, and use errors with care. Whatever you leave out,
the sample is no longer complete: faint, crowded and extended galaxies are flagged most.

## Which checks there are

Every measurement is checked against the pixels, independently of the network:

- the predicted model is convolved with the image's PSF; its light is compared with that of the
  detected pixels (`flux_ratio`, `expected_signal_to_noise`, `segment_magnitude`) and its
  residuals with the noise (`chi2`; `poor_model` above {POOR_CHI2:g}, where a model is grossly
  wrong: spiral arms, or a PSF that is a little wrong, may leave visible residuals below);
- a fit of the pixels starts from the prediction; `tension` is the difference in units of the
  error;
- the correlation of the noise (`noise_correlation`) is compared with the training's;
- light of the model beyond the edge of the image is `light_beyond`.

The PSF is checked too, once per image: where bright point sources are over 10 % narrower or wider
than it, or elongated otherwise, every object of the image is flagged `psf_disagrees`. `psf_unlike`
is something else: the PSF is unlike those of the training.

`segment_magnitude` is the light of the detected pixels. It is no total magnitude: it lacks the
faint wings, a few tenths of a magnitude of most galaxies and more of faint or extended ones. It
shows whether light was lost or added; it does not replace `magnitude`.

A package is valid down to 1.5 mag brighter than its faintest training galaxies: for anything
fainter than these, networks predict magnitudes just inside the limit of the training. In those
last 1.5 mag, and within one error of any other limit of the training range, a measurement is
accepted only if the fit to the pixels confirms it; otherwise it is flagged `unconfirmed`, and
the column of that name states the quantity and the limit.

## All flags

"""


def flags_page() -> str:
    """Return the page of the flags: a usable sample; bit, name, meaning and remedy of each."""
    lines = ["| bit | flag | meaning | what to do | forbids |", "|---:|---|---|---|---|"]
    for flag in Flag:
        forbids = (
            "all values"
            if flag is Flag.NO_STAMP
            else "magnitude, shape"
            if flag & NO_MAGNITUDE
            else "shape"
            if flag & NO_SHAPE
            else "hint"
        )
        lines.append(
            f"| {int(flag)} | `{flag.label}` | {flag.meaning} | {REMEDIES[flag]} | {forbids} |"
        )
    return _GENERATED.format("prediction/flags.py") + _FLAGS + "\n".join(lines) + "\n"


def columns_page() -> str:
    """Return the page of the columns of a catalogue: name, unit, UCD, meaning."""
    lines = [
        "# Columns of a catalogue",
        "",
        "Where there is no value it is NaN: outside the training range there is no error, and of",
        "an object that was not measured there is nothing but its `reason`. (Astropy shows the NaN",
        "of a FITS file as `--`.)",
        "",
        "| column | unit | UCD | meaning |",
        "|---|---|---|---|",
    ]
    for name, (unit, meaning, ucd) in COLUMNS.items():
        if not name.startswith("corr_"):
            lines.append(f"| `{name}` | {unit} | {f'`{ucd}`' if ucd else ''} | {meaning} |")
    lines += ["", "`corr_<a>_<b>`: correlations of the errors of the package for any image."]
    return _GENERATED.format("prediction/columns.csv") + "\n".join(lines) + "\n"


def write(folder: Path) -> list[Path]:
    """Write flags.md and columns.md into `folder` and return their paths."""
    written = {folder / "flags.md": flags_page(), folder / "columns.md": columns_page()}
    for path, text in written.items():
        write_text(path, text)
    return list(written)
