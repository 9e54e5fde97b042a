"""Stages of the task stars: frames, and the stamps of the stars on them."""

from __future__ import annotations

from typing import Annotated

from galadapt.core.parallel import Threads
from galadapt.core.stage import Input, Key, Output, Provenance, Wildcard, stage
from galadapt.tasks.stars.settings import (
    FrameFiles,
    Frames,
    FrameSplits,
    SimulatedFrames,
    StarDetection,
)


@stage
def star_frames(
    simulated: SimulatedFrames,
    seed: int,
    frames: Output,
    table: Output,
    threads: Threads,
    provenance: Provenance,
) -> None:
    """Simulated CCD frames of stars, and their table."""
    from galadapt.tasks.stars.simulate import simulate_frames

    simulate_frames(simulated, seed, frames, table, provenance, processes=threads)


@stage
def star_stamps(
    domain: Annotated[str, Wildcard],
    source: Annotated[Frames, Key("{domain}")],
    detection: StarDetection,
    splits: FrameSplits,
    seed: int,
    table: Input | None,
    stamps: Output,
    frames: Output,
    rejected: Output,
    threads: Threads,
    provenance: Provenance,
) -> None:
    """Stamps of the stars of one domain's frames."""
    from galadapt.tasks.stars.extract import extract_stars

    files = source if isinstance(source, FrameFiles) else FrameFiles(path=str(table))
    extract_stars(
        files, detection, splits, seed, domain, stamps, frames, rejected, provenance, threads
    )
