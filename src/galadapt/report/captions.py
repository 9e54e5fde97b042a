"""Captions of the report's figures, and the headings they stand under."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from galadapt.core.errors import ConfigError
from galadapt.report.build import SECTIONS, Picture

CAPTIONS = {
    "r2_by_method": (
        "R² on the test sets: mean and standard deviation over seeds. Open diamonds: published "
        "values, measured on other data. Arrows: values beyond the axis."
    ),
    "ablation": (
        "R² of methods that differ only in the number of training stamps, against that number: "
        "mean and standard deviation over seeds. At 0: the method they start from."
    ),
    "against_fits": (
        "R² on the survey galaxies with a successful profile fit: networks (dots: by seed; "
        "circles: mean prediction of the seeds) and the fit of the same stamps (line; band: its "
        "68 % bootstrap interval)."
    ),
    "coverage": (
        "Share of test galaxies with the true value inside the error (coverage), against the "
        "nominal level. Dashed line: exact coverage; above it errors are too large, below it too "
        "small. Bands: binomial scatter (one sigma)."
    ),
    "predicted_with_errors": (
        "Predicted against catalogue values of the survey's test galaxies with 68 % errors; all "
        "finite predictions are shown. Black: the catalogue value is outside the 95 % error."
    ),
    "scatter_by_magnitude": (
        "Median error (bias) and scatter (NMAD) of each method on the survey's test galaxies per "
        "magnitude bin: mean over seeds; bars: standard deviation over seeds."
    ),
    "survey_scatter": (
        "Predicted against catalogue values of the survey's test galaxies, one row per method "
        "(first seed). The first row is the method without adaptation."
    ),
    "feature_maps": (
        "Pixels, and features of each method (first seed), of simulated and survey test stamps: "
        "first two principal components, and below, if feature_space.umap is set, a UMAP "
        "embedding. AUC: how well a linear classifier separates the domains in all dimensions "
        "(0.5: not at all). Of methods that use the same features only the first is shown."
    ),
    "feature_dimensions": (
        "Features of each method against the number of dimensions kept. Explained variance: the "
        "share that the principal components of simulated stamps explain. Reconstruction error: "
        "the squared error of stamps rebuilt from these components, over their variance. The last "
        "two: how well the labels of the nearest simulated stamps predict those of a stamp, with "
        "neighbours found among principal components or UMAP's. Dashed: survey stamps."
    ),
    "eigen_images": (
        "Mean and first principal components (eigen-images) of simulated stamps, with the share of "
        "the variance that each explains. Below: single stamps (left), and the same rebuilt from "
        "the stated number of components."
    ),
    "uncovered": (
        "Survey test stamps without similar simulated ones, per method, the farthest first. "
        "Number: mean distance to the nearest simulated stamps in the space of the features, in "
        "units of the distance that 99 of 100 simulated stamps do not exceed. Stamps in no cluster "
        "with simulated ones are shown too. tables/<variant>/uncovered.csv lists all."
    ),
    "optimizers": (
        "Validation loss of methods that differ only in the optimiser and its learning rate: "
        "mean over seeds."
    ),
    "quality": (
        "Quality of each method on the test sets: mean and standard deviation over seeds. "
        "Published values were measured on other data."
    ),
    "questions": "RMSE of the shares of each question's answers, per method, mean over seeds.",
    "vote_images": "Images of each domain, drawn at random, with their most frequent answers.",
    "vote_shares": "Mean share of the volunteers who gave each answer.",
    "errors": "Share of wrong predictions per class and method on the test sets.",
    "counts": "Number of stamps of each class in each split.",
    "moments": (
        "Standard deviation, skewness and kurtosis of the images: the 4XMM study's first attempt "
        "to separate the classes."
    ),
    "contact_sheet": "Stamps of each class, drawn at random.",
    "parameters": "Parameters of the simulated and of the survey galaxies.",
    "stamps": (
        "Stamps of both domains from bright to faint, then survey stamps: random ones, the "
        "brightest (highest S/N), and the most difficult: those with the most flags, then the most "
        "light of neighbours, then the lowest S/N. All on the same asinh scale."
    ),
}


#: Where figures stand that do not show which method is best.
PLACES = {
    "scatter_by_magnitude": "fails",
    "errors": "fails",
    "questions": "fails",
    "coverage": "errors",
    "predicted_with_errors": "errors",
    "feature_maps": "features",
    "feature_dimensions": "features",
    "eigen_images": "features",
    "uncovered": "features",
}


def pictures(
    comparison: Sequence[Path],
    variants: Sequence[Path],
    data: Sequence[Path],
    package: Sequence[Path],
) -> dict[str, list[Picture]]:
    """Arrange the report's figures by section: of the comparison, of variants (by folder), of data.

    Raises:
        ConfigError: a figure has no caption here.
    """
    sections: dict[str, list[Picture]] = {name: [] for name in SECTIONS}
    for path in [*comparison, *package, *variants, *data]:
        if path.stem not in CAPTIONS:
            raise ConfigError(f"{path}: no caption for '{path.stem}'; add it to report/captions.py")
        of_variant = f"Variant {path.parent.name}. " if path in variants else ""
        place = "data" if path in data else PLACES.get(path.stem, "best")
        sections[place].append((path, of_variant + CAPTIONS[path.stem]))
    return sections
