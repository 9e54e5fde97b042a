# Galaxies. Simulated stamps are made in shards: each is a job, and an interrupted one is repeated
# alone. Further simulations have folders of their own.


rule simulate:
    output:
        stamps=f"{DATA}/{{source}}/shard-{{shard}}.h5",
    log:
        f"{LOGS}/simulate/{{source}}-{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate/{{source}}-{{shard}}.tsv"
    resources:
        gpu=cluster.gpus(workflow, int(CONFIG.simulation.renderer == "ktable_jax")),
    params:
        settings=job_settings("simulate"),
    shell:
        command("simulate")


# A survey is a field: mosaic, weight, catalogue and what is known beyond it; then the cuts.
FIELD = f"{DATA}/survey/field"


rule survey:
    output:
        drz=f"{FIELD}/drz.fits",
        wht=f"{FIELD}/wht.fits",
        catalogue=f"{FIELD}/catalogue.parquet",
        truth=f"{FIELD}/truth.parquet",
    log:
        f"{LOGS}/survey.log",
    benchmark:
        f"{BENCHMARKS}/survey.tsv"
    params:
        settings=job_settings("survey"),
    shell:
        command("survey")


rule select:
    input:
        catalogue=rules.survey.output.catalogue,
    output:
        selected=f"{DATA}/survey/selected.parquet",
        cuts=f"{DATA}/survey/cuts.csv",
    log:
        f"{LOGS}/select.log",
    params:
        settings=job_settings("select"),
    shell:
        command("select")


# Stamps of the selected objects, cut from the mosaic; rejected objects with their reasons.
rule extract:
    input:
        drz=rules.survey.output.drz,
        wht=rules.survey.output.wht,
        selected=rules.select.output.selected,
    output:
        stamps=f"{DATA}/survey/stamps.h5",
        rejected=f"{DATA}/survey/rejected.csv",
    log:
        f"{LOGS}/extract.log",
    benchmark:
        f"{BENCHMARKS}/extract.tsv"
    threads: 2
    params:
        settings=job_settings("extract"),
    shell:
        command("extract")


DATA_TABLES = [rules.select.output.cuts, rules.extract.output.rejected]
DATA_FILES = [*rules.survey.output, rules.select.output.selected]
