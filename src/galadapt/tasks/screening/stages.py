"""Stages of the task screening: X-ray fields."""

from __future__ import annotations

from typing import Annotated, Literal

from galadapt.core.parallel import Threads
from galadapt.core.stage import Key, Output, Provenance, stage
from galadapt.tasks.screening.settings import FieldFiles, FieldSplits, SimulatedFields


@stage
def simulated_fields(
    simulated: SimulatedFields, seed: int, stamps: Output, threads: Threads, provenance: Provenance
) -> None:
    """Simulated X-ray fields."""
    from galadapt.tasks.screening.simulate import simulate_fields

    simulate_fields(simulated, seed, stamps, provenance, processes=threads)


@stage
def survey_fields(
    binning: Annotated[Literal[1, 2, 4, 8] | None, Key("simulated.binning")],
    survey: FieldFiles,
    splits: FieldSplits,
    seed: int,
    stamps: Output,
    rejected: Output,
    provenance: Provenance,
) -> None:
    """The user's X-ray images, on the pixels of the simulated ones."""
    from galadapt.tasks.screening.files import read_fields

    pixels = SimulatedFields() if binning is None else SimulatedFields(binning=binning)
    read_fields(survey, pixels.side, pixels.pixel_scale, splits, seed, stamps, rejected, provenance)
