"""Stages of the task galaxies: its data, its package, and what it is compared with."""

from __future__ import annotations

from typing import Annotated, Any

from galadapt.config.image import Image, Psf
from galadapt.config.machine import Downloads
from galadapt.config.measure import MeasureCatalogue, MeasureOptions, Tile
from galadapt.config.simulation import Noise, Simulation
from galadapt.config.survey import Extraction, Selection, Splits, Survey
from galadapt.config.training import Compute, Predictor
from galadapt.core.parallel import Threads
from galadapt.core.stage import Input, Inputs, Key, Output, Outputs, Provenance, Wildcard, stage
from galadapt.tasks.galaxies.settings import ProfileFit

# --- data -----------------------------------------------------------------------------------


@stage
def simulate(
    image: Image,
    psf: Psf,
    simulation: Simulation,
    seed: int,
    shard: Annotated[int, Wildcard],
    stamps: Output,
    provenance: Provenance,
) -> None:
    """One shard of simulated stamps."""
    from galadapt.simulation.engine import shard_start, simulate_shard

    start, stop = shard_start(simulation, shard), shard_start(simulation, shard + 1)
    simulate_shard(image, psf, simulation, seed, start, stop, output=stamps, provenance=provenance)


@stage
def survey(
    image: Image,
    psf: Psf,
    survey: Survey,
    seed: int,
    drz: Output,
    wht: Output,
    catalogue: Output,
    truth: Output,
    downloads: Downloads,
    provenance: Provenance,
) -> None:
    """The survey's field: mosaic, weight, catalogue and what is known of the truth."""
    from galadapt.surveys.field import Field

    field = Field(drz, wht, catalogue, truth)
    if survey.kind == "mock":
        from galadapt.surveys.mock import make_mock

        make_mock(survey, image, psf, seed, field, provenance)
    elif survey.kind == "images":
        from galadapt.surveys.images import make_images

        make_images(survey, image, seed, field, provenance)
    elif survey.kind == "candels":
        from galadapt.surveys.candels import make_candels

        make_candels(survey, image, field, provenance, downloads)
    else:
        from galadapt.surveys.cosmos import make_cosmos

        make_cosmos(survey, image, psf, seed, field, provenance)


@stage
def select(
    image: Image, selection: Selection, catalogue: Input, selected: Output, cuts: Output
) -> None:
    """The catalogue's cuts."""
    from galadapt.surveys.selection import select as cut

    cut(catalogue, selection, image, selected, cuts)


@stage
def extract(
    image: Image,
    extraction: Extraction,
    splits: Splits,
    seed: int,
    drz: Input,
    wht: Input,
    selected: Input,
    stamps: Output,
    rejected: Output,
    threads: Threads,
    provenance: Provenance,
) -> None:
    """Stamps cut from the mosaic."""
    from galadapt.cutouts.cutouts import extract as cut_out

    cut_out(
        drz, wht, selected, image, extraction, splits, seed, stamps, rejected, provenance, threads
    )


# --- package --------------------------------------------------------------------------------


@stage
def package(
    predictor: Predictor,
    psf: Psf,
    extraction: Extraction,
    survey_kind: Annotated[str, Key("survey.kind")],
    runs: Inputs,
    simulated: Inputs,
    survey: Input,
    package: Output,
    compute: Compute,
    provenance: Provenance,
) -> None:
    """The networks of one variant and method, packaged for `galadapt predict`."""
    from galadapt.prediction.make_package import write_package

    write_package(
        runs=[path.parent for path in runs],
        simulated=simulated,
        survey=survey,
        psf=psf,
        extraction=extraction,
        predictor=predictor,
        survey_kind=survey_kind,
        output=package.parent,
        compute=compute,
        provenance=provenance,
    )


@stage
def package_figures(
    package: Input, reference: Input, predictions: Inputs, figures: Outputs
) -> None:
    """Whether the errors of a prediction package hold, drawn."""
    from galadapt.prediction.coverage import coverage_figures

    curve, scatter = figures
    coverage_figures(
        package=package, reference=reference, predictions=predictions, curve=curve, scatter=scatter
    )


# --- comparisons ----------------------------------------------------------------------------


@stage
def profile_fits(
    psf: Psf,
    extraction: Extraction,
    noise: Annotated[Noise, Key("simulation.noise")],
    profile_fit: ProfileFit,
    seed: int,
    survey: Input,
    fits: Output,
) -> None:
    """A profile fit to some of the survey's test galaxies."""
    from galadapt.simulation.noise import resolve
    from galadapt.tasks.galaxies.fitting.catalogue import fit_galaxies

    exposure_time = resolve(noise).exposure_time if noise.depth != "none" else None
    fit_galaxies(survey, psf, extraction, exposure_time, profile_fit.galaxies, seed, fits)


@stage
def against_fits(fits: Input, runs: Inputs, table: Output, html: Output, figure: Output) -> None:
    """The networks against the profile fits."""
    from galadapt.tasks.galaxies.against_fits import against_fits as compare_with

    compare_with(fits=fits, runs=runs, table=table, html=html, figure=figure)


@stage
def ablation(
    methods: list[str],
    method_settings: dict[str, Any],
    comparison: Input,
    simulated: Inputs,
    survey: Inputs,
    figure: Output,
) -> None:
    """R² against a number of training stamps, where methods differ in nothing else."""
    from galadapt.core.quantity import PARAMETERS
    from galadapt.evaluation.families import curves
    from galadapt.report.comparison import ablation as draw
    from galadapt.stamps.format import StampSet

    available = {}
    for setting, paths in (("n_simulated", simulated), ("n_survey", survey)):
        with StampSet(paths) as stamps:
            training = stamps.table[stamps.table["split"] == "train"]
            available[setting] = len(training.dropna(subset=list(PARAMETERS)))
    draw(comparison, curves(methods, method_settings), available, figure)


# --- a survey of many mosaics -----------------------------------------------------------------


@stage
def measure_tile(
    tiles: Annotated[list[Tile], Key("measure.tiles")],
    catalogues: Annotated[list[MeasureCatalogue], Key("measure.catalogues")],
    options: Annotated[MeasureOptions, Key("measure.options")],
    skip_unreadable: Annotated[bool, Key("measure.skip_unreadable")],
    package: Input,
    tile: Output,
    made: Output,
) -> None:
    """Where a mosaic has data, and its sources where there is no catalogue."""
    from galadapt.prediction.survey.tiles import inspect

    (one,) = tiles
    inspect(one, package.parent, options, not catalogues, skip_unreadable, tile, made)


@stage
def measure_plan(
    about: Annotated[list[MeasureCatalogue], Key("measure.catalogues")],
    order: Annotated[int, Key("measure.order")],
    objects_per_job: Annotated[int, Key("measure.objects_per_job")],
    tiles: Inputs,
    catalogues: Inputs,
    objects: Output,
    jobs: Output,
    unmeasured: Output,
) -> None:
    """The jobs of a survey."""
    from galadapt.prediction.survey.plan import plan

    named = list(zip(catalogues, about, strict=True))
    plan(tiles, named, order, objects_per_job, objects, jobs, unmeasured)


@stage
def measure_objects(
    options: Annotated[MeasureOptions, Key("measure.options")],
    skip_unreadable: Annotated[bool, Key("measure.skip_unreadable")],
    tile: Input,
    objects: Input,
    package: Input,
    recalibration: Input | None,
    table: Output,
    cost: Output,
    provenance: Provenance,
) -> None:
    """The objects of one job of a survey."""
    from galadapt.prediction.survey.job import measure_objects as measure

    measure(
        tile,
        objects,
        package.parent,
        options,
        recalibration,
        skip_unreadable,
        table,
        cost,
        provenance,
    )


@stage
def measure_merge(
    order: Annotated[int, Key("measure.order")],
    jobs: Input,
    parts: Input,
    catalogue: Output,
    counts: Output,
) -> None:
    """The catalogue of a survey."""
    from galadapt.prediction.survey.dataset import merge

    merge(jobs, parts, order, catalogue, counts)


@stage
def measure_page(
    jobs: Input, tiles: Inputs, unmeasured: Input, costs: Input, counts: Input, page: Output
) -> None:
    """The page about the catalogue of a survey."""
    from galadapt.prediction.survey.page import write_page

    write_page(counts, counts.with_name("catalogue"), jobs, tiles, unmeasured, costs, page)
