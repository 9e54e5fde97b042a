# Stamps of the selected objects, cut from the mosaic; rejected objects with their reasons.

SURVEY_STAMPS = f"{DATA}/survey/stamps.h5"


rule extract:
    input:
        drz=rules.survey.output.drz,
        wht=rules.survey.output.wht,
        selected=rules.select.output.selected,
    output:
        stamps=SURVEY_STAMPS,
        rejected=f"{DATA}/survey/rejected.csv",
    log:
        f"{LOGS}/extract.log",
    benchmark:
        f"{BENCHMARKS}/extract.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    params:
        settings=job_settings("extract"),
    shell:
        "python -m galadapt stage extract --settings {params.settings:q}"
        " --input drz {input.drz} --input wht {input.wht} --input selected {input.selected}"
        " --output stamps {output.stamps} --output rejected {output.rejected} 2>&1 | tee {log}"


# What the shared rules ask of a task.
STAMPS = {**SIMULATED, "survey": [SURVEY_STAMPS]}
DATA_TABLES = [rules.select.output.cuts, rules.extract.output.rejected]
DATA_FILES = [*rules.survey.output, rules.select.output.selected]
