"""What the report states about X-ray fields."""

from __future__ import annotations

from pathlib import Path

from galadapt.report.words import Words, class_caveats, class_facts

WORDS = Words(
    title="Which fields need an expert's eye?",
    lead="X-ray fields screened by networks for regions that spoil the detection of sources.",
    facts=class_facts,
    caveats=class_caveats,
    work="4XMM study",
    published=Path(__file__).with_name("published.csv"),
)
