"""What each figure of the report shows, in a sentence, and under which heading it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from galadapt.core.errors import ConfigError
from galadapt.report.build import Picture

CAPTIONS = {
    "r2_by_method": (
        "R² on the test sets, mean and scatter over seeds; open diamonds: R1's published values, "
        "on other data, for orientation."
    ),
    "ablation": (
        "R² against the number of training stamps, of methods that differ in nothing else; mean "
        "and scatter over seeds. At 0 stands the method they start from."
    ),
    "against_fits": (
        "R² on the survey galaxies that could be fitted: networks (dots: by seed; circles: the "
        "seeds' mean prediction) and a profile fit of the same stamps (line; band: its 68 % "
        "interval when galaxies are drawn anew)."
    ),
    "coverage": (
        "Share of test galaxies whose true value lies inside the error, against the level the "
        "error is stated for. On the dashed line errors mean what they say, above it they are too "
        "large, below it too small; bands: what chance alone does (one sigma)."
    ),
    "predicted_with_errors": (
        "Predicted against catalogue values of the survey's test galaxies with 68 % errors, every "
        "finite prediction shown; black: the catalogue value lies beyond the 95 % error."
    ),
    "scatter_by_magnitude": "Scatter (NMAD) of each method on the survey per magnitude bin.",
    "survey_scatter": (
        "Predicted against catalogue values of the survey's test galaxies, one row per method "
        "(first seed): before and after adaptation."
    ),
    "feature_maps": (
        "Features of simulated and survey test galaxies, one column per method: two principal "
        "components, and below them a UMAP embedding, which keeps neighbours together. The AUC "
        "says how well a linear classifier tells the domains apart (0.5: not at all)."
    ),
    "quality": (
        "Balanced accuracy and AUC on the test sets, mean and scatter over seeds, with published "
        "values on other data for orientation."
    ),
    "errors": "Share of wrong answers per class and method on the test sets.",
    "counts": "How many stamps each class has in each split.",
    "moments": (
        "Standard deviation, skewness and kurtosis of the images: R3's first attempt to tell the "
        "classes apart."
    ),
    "contact_sheet": "Stamps of each class, drawn at random.",
    "parameters": "Parameters of the simulated and of the survey galaxies.",
    "stamps": (
        "Stamps of both domains from bright to faint, then survey stamps at random, the brightest "
        "and the worst, all on one asinh scale."
    ),
}


def pictures(
    comparison: Sequence[Path], by_variant: Mapping[str, Sequence[Path]], data: Sequence[Path]
) -> dict[str, list[Picture]]:
    """Arrange the report's figures: the comparison, each variant, the data.

    Raises:
        ConfigError: a figure has no caption here.
    """
    sections = {"Methods compared": list(comparison)}
    sections |= {f"Variant {name}": list(paths) for name, paths in by_variant.items()}
    sections["Data"] = list(data)
    return {title: captioned(paths) for title, paths in sections.items() if paths}


def captioned(paths: Sequence[Path]) -> list[Picture]:
    """Give figures their captions.

    Raises:
        ConfigError: a figure has no caption here.
    """
    return [Picture(path, _caption(path)) for path in paths]


def _caption(path: Path) -> str:
    if path.stem not in CAPTIONS:
        raise ConfigError(f"{path}: no caption for '{path.stem}'; add it to report/captions.py")
    return CAPTIONS[path.stem]
