"""What the report states about X-ray fields."""

from __future__ import annotations

from pathlib import Path

from galadapt.report.words import class_words

WORDS = class_words(
    title="Screening of X-ray fields",
    lead=(
        "X-ray fields classified by networks: how much of a field is affected by defects. Classes "
        "(OBS_CLASS): 0, nothing; 1, below 0.1 % of the area; 2, below 1 %; 3, below 10 %; "
        "4, more than that; 5, the whole field."
    ),
    work="4XMM study",
    published=Path(__file__).with_name("published.csv"),
)
