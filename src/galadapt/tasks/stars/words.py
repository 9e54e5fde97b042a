"""What the report states about star images."""

from __future__ import annotations

from pathlib import Path

from galadapt.report.words import Words, class_caveats, class_facts

WORDS = Words(
    title="Which frames can be used?",
    lead="Star images classified by networks: circular, comet or donut, split by frame.",
    facts=class_facts,
    caveats=class_caveats,
    work="star-image study",
    published=Path(__file__).with_name("published.csv"),
)
