"""Stages of the task votes: images of galaxies and their votes."""

from __future__ import annotations

from galadapt.core.parallel import Threads
from galadapt.core.stage import Output, Provenance, stage
from galadapt.tasks.votes.data import MockVotes, SimulatedVotes


@stage
def simulated_votes(
    simulated: SimulatedVotes, seed: int, stamps: Output, threads: Threads, provenance: Provenance
) -> None:
    """Simulated galaxies and the votes of simulated volunteers."""
    from galadapt.tasks.votes.simulate import simulate_votes

    simulate_votes(
        settings=simulated,
        domain="simulated",
        seed=seed,
        output=stamps,
        provenance=provenance,
        processes=threads,
    )


@stage
def mock_votes(
    survey: MockVotes,
    seed: int,
    stamps: Output,
    threads: Threads,
    provenance: Provenance,
) -> None:
    """The mock survey: other galaxies, another telescope, another crowd."""
    from galadapt.tasks.votes.simulate import simulate_votes

    simulate_votes(
        settings=survey,
        domain="survey",
        seed=seed,
        output=stamps,
        provenance=provenance,
        processes=threads,
    )
