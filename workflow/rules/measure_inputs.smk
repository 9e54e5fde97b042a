# What the rules of parts/measure.smk read.
from galadapt.config.measure import TILE
from galadapt.core.files import expand as expand_path, read_table
from galadapt.prediction.survey import listed

MEASURE = f"{RESULTS}/measure"
MEASURE_TILE = f"{MEASURE}/tiles/{{tile}}/tile.json"
MEASURE_PART = "{tile}/{cell}-{part}"


def measure_section():
    if CONFIG.measure is None:
        raise WorkflowError(
            "measure: the configuration has no such section; it names the mosaics and catalogues "
            "(docs/how-to/survey.md)"
        )
    return CONFIG.measure


def measure_tiles():
    try:
        return listed.read_tiles(measure_section())
    except GaladaptError as error:
        raise WorkflowError(str(error))


def measure_package(wildcards):
    from galadapt.prediction.fetched import locate

    # The record has the digests of the networks.
    return str(locate(measure_section().package) / "package.json")


def files_of_tile(wildcards):
    if wildcards.tile not in measure_tiles():
        raise WorkflowError(f"measure.tiles: no tile '{wildcards.tile}'")
    return [str(path) for path in listed.files_of(measure_tiles()[wildcards.tile])]


def measure_jobs(path):
    """Return the input function for one file of every job of the plan."""

    def of_plan(wildcards):
        jobs = read_table(checkpoints.measure_plan.get().output.jobs)
        return [
            path.format(tile=tile, cell=cell, part=part)
            for tile, cell, part in zip(jobs["tile"], jobs["cell"], jobs["part"])
        ]

    return of_plan
