"""What the report states about galaxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galadapt.core.quantity import SERSIC
from galadapt.report.words import Configuration, Facts, Words


def _facts(configuration: Configuration) -> Facts:
    image = configuration.get("image") or {}
    survey = configuration.get("survey") or {}
    return [
        ("Survey", str(survey.get("kind", "unknown"))),
        (
            "Stamps",
            f"{image.get('stamp_size')} px of {image.get('pixel_scale')} arcsec, "
            f"{image.get('band')}, zero point {image.get('zero_point')} AB",
        ),
        *_ranges(configuration),
        ("Simulated", _sizes(configuration.get("simulation") or {})),
        *_sources(configuration),
    ]


def _ranges(configuration: Configuration) -> Facts:
    """State the galaxies that are measured, their radii on the sky too."""
    selection = configuration.get("selection") or {}
    scale = (configuration.get("image") or {}).get("pixel_scale")
    parts = []
    for quantity in SERSIC:
        if quantity.name not in selection:
            continue
        low, high = selection[quantity.name]
        text = f"{quantity.label} {low:g} to {high:g}"
        if quantity.unit == "pix":
            text += " px"
            text += f" ({low * scale:.2f} to {high * scale:.2f} arcsec)" if scale else ""
        parts.append(text)
    return [("Survey galaxies", ", ".join(parts))] if parts else []


def _sizes(simulation: Mapping[str, Any]) -> str:
    splits = (("n_train", "train"), ("n_validation", "validation"), ("n_test", "test"))
    counts = [(simulation[key], label) for key, label in splits if key in simulation]
    return ", ".join(f"{count:,} {label}" for count, label in counts)


def _sources(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List methods that learn from another simulation than the experiment's."""
    users: dict[str, list[str]] = {}
    for name in configuration.get("methods") or []:
        method = (configuration.get("method_settings") or {}).get(name, {})
        if method.get("simulation"):
            users.setdefault(method["simulation"], []).append(name)
    usual = _sizes(configuration.get("simulation") or {})
    found = []
    for simulation, names in users.items():
        sizes = _sizes((configuration.get("simulations") or {}).get(simulation, {}))
        # Given where they differ from those of the line above.
        count = "" if sizes in ("", usual) else f"{sizes}; "
        text = f"{count}used by {', '.join(names)} and methods that start from it"
        found.append((f"Simulation {simulation}", text))
    return found


def _caveats(configuration: Configuration, tests: Sequence[Mapping[str, int]]) -> list[str]:
    lines = []
    sizes = {counts["survey"] for counts in tests if "survey" in counts}
    if sizes:
        count = min(sizes)
        lines.append(
            f"The survey's test set has {count} galaxies. The bootstrap interval below each table "
            "shows how R² varies with the choice of galaxies; smaller differences are not "
            "significant."
        )
    if (configuration.get("splits") or {}).get("by") == "id":
        lines.append(
            "Survey galaxies are split by their identifier: stamps of training and test galaxies "
            "can overlap on the mosaic, which favours methods that use its labels."
        )
    if (configuration.get("survey") or {}).get("kind") == "mock":
        lines += [
            "The survey is a mock: its galaxies, PSF and sky differ from the simulations in known "
            "ways. Success on it is necessary, not sufficient, for the real sky.",
            "The mock is more crowded than the sky (survey.density), and the default simulations "
            "have no neighbours: where extraction.neighbours keeps them, part of the baseline's "
            "loss is due to crowding.",
        ]
    lines += [
        "Reference values of survey galaxies are catalogue fits with errors of their own; no "
        "method can score higher than those errors allow.",
        "R² depends on the spread of the test set: the same errors give a lower R² on a narrower "
        "population. Compare methods within a column, not columns with each other.",
        "The domain AUC measures how well the domains can be separated by the network's features. "
        "Different populations alone keep it above 0.5, and 0.5 means that the domains look alike, "
        "not that measurements are right.",
        "The published figures are those of the CANDELS study (docs/references.md): single-Sérsic "
        "simulations and CANDELS F160W galaxies of van der Wel et al. 2012. They were measured on "
        "its own galaxies.",
    ]
    return lines


WORDS = Words(
    title="Galaxy structure: simulations against a survey",
    lead=(
        "Networks trained on simulated galaxies measure galaxy structure on simulations and on a "
        "survey, with and without domain adaptation."
    ),
    facts=_facts,
    caveats=_caveats,
    work="CANDELS study",
    published=Path(__file__).with_name("published.csv"),
)
