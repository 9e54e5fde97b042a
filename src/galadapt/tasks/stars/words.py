"""What the report states about star images."""

from __future__ import annotations

from pathlib import Path

from galadapt.report.words import class_words

WORDS = class_words(
    title="Quality of star images",
    lead="Star images classified by networks as circular, comet or donut; splits are by frame.",
    work="star-image study",
    published=Path(__file__).with_name("published.csv"),
)
