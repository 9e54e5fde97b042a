"""What the report states about star images."""

from __future__ import annotations

from pathlib import Path

from galadapt.report.words import Words, class_caveats, class_facts

WORDS = Words(
    title="Quality of star images",
    lead="Star images classified by networks as circular, comet or donut; splits are by frame.",
    facts=class_facts,
    caveats=class_caveats,
    work="star-image study",
    published=Path(__file__).with_name("published.csv"),
)
