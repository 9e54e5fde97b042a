"""What the report states about votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from galadapt.report.words import Configuration, Facts, Words

#: How kinds of images and votes are named.
_KINDS = {
    "simulated": "simulated images and votes",
    "mock": "mock survey",
    "files": "your own images",
    "galaxy_zoo": "published images of Galaxy Zoo",
}


def _facts(configuration: Configuration) -> Facts:
    def volunteers(domain: str) -> str:
        section = configuration.get(domain)
        if section is None:
            return "none"
        kind = _KINDS[section["kind"]]
        crowd = section.get("volunteers")
        if not isinstance(crowd, Mapping):
            return kind
        low, high = crowd["number"]
        return f"{kind}, {low:g} to {high:g} volunteers"

    return [
        ("Task", "votes"),
        ("Simulated", volunteers("simulated")),
        ("Survey", volunteers("survey")),
    ]


def _caveats(configuration: Configuration, tests: Sequence[Mapping[str, int]]) -> list[str]:
    lines = [
        "A share is that of the volunteers who gave an answer, not a property of the galaxy: "
        "volunteers see only the image, and fewer of them recognise a feature that noise or seeing "
        "hides.",
        "No method can have a smaller RMSE than the floor, which is due to the small number of "
        "volunteers: even the true shares have this RMSE.",
        "Published figures were measured on other galaxies: those of the Galaxy Challenge with "
        "61,578 galaxies to learn from.",
    ]
    survey = configuration.get("survey")
    if survey is not None and survey["kind"] == "mock":
        lines.append(
            "The survey is a mock: galaxies of the same simulation, seen with another telescope "
            "and judged by other simulated volunteers. Real images differ in more than that."
        )
    return lines


WORDS = Words(
    title="Votes of Galaxy Zoo",
    lead="The shares of volunteers who give each answer, predicted from the image, with errors.",
    facts=_facts,
    caveats=_caveats,
    work="Galaxy Challenge",
    published=Path(__file__).with_name("published.csv"),
)
