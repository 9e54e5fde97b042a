# A survey of many mosaics: `snakemake measure`. No part of `all`. Each tile is inspected, the plan
# gives every object to a tile and a job, jobs of bounded memory measure, and one dataset is made.
# Jobs depend on the content of their objects and of their tile: after a change of one tile its own
# jobs run again.
include: "../measure_inputs.smk"


rule measure_tile:
    input:
        files=files_of_tile,
        package=measure_package,
    output:
        tile=MEASURE_TILE,
        made=directory(f"{MEASURE}/tiles/{{tile}}/made"),
    log:
        f"{LOGS}/measure_tile/{{tile}}.log",
    params:
        settings=job_settings("measure_tile"),
    shell:
        command("measure_tile")


checkpoint measure_plan:
    input:
        tiles=lambda w: [MEASURE_TILE.format(tile=name) for name in measure_tiles()],
        catalogues=lambda w: [
            str(expand_path(one.path)) for one in measure_section().catalogues
        ],
    output:
        objects=directory(f"{MEASURE}/plan/objects"),
        jobs=f"{MEASURE}/plan/jobs.csv",
        unmeasured=f"{MEASURE}/unmeasured.parquet",
    log:
        f"{LOGS}/measure_plan.log",
    params:
        settings=job_settings("measure_plan"),
    shell:
        command("measure_plan")


rule measure_objects:
    input:
        tile=MEASURE_TILE,
        objects=f"{MEASURE}/plan/objects/{MEASURE_PART}.parquet",
        package=measure_package,
        recalibration=lambda w: [
            str(expand_path(path))
            for path in [measure_section().recalibration]
            if path
        ],
    output:
        table=f"{MEASURE}/parts/{MEASURE_PART}.parquet",
        cost=f"{MEASURE}/costs/{MEASURE_PART}.json",
    log:
        f"{LOGS}/measure_objects/{MEASURE_PART}.log",
    wildcard_constraints:
        tile=TILE,
        cell=r"\d+",
        part=r"\d+",
    params:
        settings=job_settings("measure_objects"),
    shell:
        command("measure_objects")


# Folders stand for their files: a command line has room for some thousand paths only.
rule measure_merge:
    input:
        parts=measure_jobs(f"{MEASURE}/parts/{MEASURE_PART}.parquet"),
        jobs=f"{MEASURE}/plan/jobs.csv",
    output:
        catalogue=directory(f"{MEASURE}/catalogue"),
        counts=f"{MEASURE}/counts.json",
    log:
        f"{LOGS}/measure_merge.log",
    params:
        settings=job_settings("measure_merge"),
    shell:
        command("measure_merge", parts=f"{MEASURE}/parts")


rule measure_page:
    input:
        costs=measure_jobs(f"{MEASURE}/costs/{MEASURE_PART}.json"),
        counts=rules.measure_merge.output.counts,
        jobs=f"{MEASURE}/plan/jobs.csv",
        tiles=lambda w: [MEASURE_TILE.format(tile=name) for name in measure_tiles()],
        unmeasured=f"{MEASURE}/unmeasured.parquet",
    output:
        page=f"{MEASURE}/page.html",
    log:
        f"{LOGS}/measure_page.log",
    params:
        settings=job_settings("measure_page"),
    shell:
        command("measure_page", costs=f"{MEASURE}/costs")


rule measure:
    input:
        rules.measure_page.output,
