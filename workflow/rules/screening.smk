# X-ray fields, simulated or the user's own, on the same pixels.


rule simulated_fields:
    output:
        stamps=f"{DATA}/simulated/stamps.h5",
    log:
        f"{LOGS}/simulated_fields.log",
    benchmark:
        f"{BENCHMARKS}/simulated_fields.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    params:
        settings=job_settings("simulated_fields"),
    shell:
        "python -m galadapt stage simulated_fields --settings {params.settings:q}"
        " --output stamps {output.stamps} 2>&1 | tee {log}"


rule survey_fields:
    output:
        stamps=f"{DATA}/survey/stamps.h5",
        rejected=f"{DATA}/survey/rejected.csv",
    log:
        f"{LOGS}/survey_fields.log",
    benchmark:
        f"{BENCHMARKS}/survey_fields.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("survey_fields"),
    shell:
        "python -m galadapt stage survey_fields --settings {params.settings:q}"
        " --output stamps {output.stamps} --output rejected {output.rejected} 2>&1 | tee {log}"


# What the shared rules ask of a task.
STAMPS = {domain: [f"{DATA}/{domain}/stamps.h5"] for domain in CONFIG.domains}
DATA_TABLES = (
    [rules.survey_fields.output.rejected] if "survey" in CONFIG.domains else []
)
DATA_FILES = []
