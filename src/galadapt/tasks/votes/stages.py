"""Stages of the task votes: images of galaxies and their votes."""

from __future__ import annotations

from galadapt.config.machine import Downloads
from galadapt.core.parallel import Threads
from galadapt.core.stage import Output, Provenance, stage
from galadapt.tasks.votes.data import SimulatedVotes, VoteSurvey


@stage
def simulated_votes(
    simulated: SimulatedVotes, seed: int, stamps: Output, threads: Threads, provenance: Provenance
) -> None:
    """Simulated galaxies and the votes of simulated volunteers."""
    from galadapt.tasks.votes.simulate import simulate_votes

    simulate_votes(simulated, "simulated", seed, stamps, provenance, threads)


@stage
def survey_votes(
    survey: VoteSurvey,
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
    read_votes(survey, source, seed, stamps, rejected, provenance, threads)
