"""What the report states about X-ray fields."""

from __future__ import annotations

from pathlib import Path

from galadapt.report.words import Words, class_caveats, class_facts

WORDS = Words(
    title="Screening of X-ray fields",
    lead="X-ray fields classified by networks: how much of a field is affected by defects.",
    facts=class_facts,
    caveats=class_caveats,
    work="4XMM study",
    published=Path(__file__).with_name("published.csv"),
)
