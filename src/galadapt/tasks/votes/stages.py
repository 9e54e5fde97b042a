"""Stages of the task votes: images of galaxies and their votes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from galadapt.config.machine import Downloads
from galadapt.core.parallel import Threads
from galadapt.core.stage import Output, Provenance, stage
from galadapt.tasks.votes.data import GalaxyZooVotes, MockVotes, SimulatedVotes, VoteFiles


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
def survey_votes(
    survey: Annotated[MockVotes | VoteFiles | GalaxyZooVotes, Field(discriminator="kind")],
    seed: int,
    stamps: Output,
    rejected: Output,
    downloads: Downloads,
    threads: Threads,
    provenance: Provenance,
) -> None:
    """The survey: mock images with other galaxies, telescope and crowd, or real ones.

    Of mock images none is rejected.
    """
    from galadapt.tasks.votes.files import read_votes, source_of, write_rejected
    from galadapt.tasks.votes.galaxy_zoo import fetch_votes
    from galadapt.tasks.votes.simulate import simulate_votes

    if survey.kind == "mock":
        simulate_votes(survey, "survey", seed, stamps, provenance, threads)
        write_rejected(rejected, [])
        return
    source = source_of(survey) if survey.kind == "files" else fetch_votes(survey, downloads)
    read_votes(
        settings=survey,
        source=source,
        seed=seed,
        output=stamps,
        rejected=rejected,
        provenance=provenance,
        processes=threads,
    )
