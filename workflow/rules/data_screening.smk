# X-ray fields, simulated or the user's own, on the same pixels.


rule simulated_fields:
    output:
        stamps=f"{DATA}/simulated/stamps.h5",
    log:
        f"{LOGS}/simulated_fields.log",
    benchmark:
        f"{BENCHMARKS}/simulated_fields.tsv"
    threads: 2
    params:
        settings=job_settings("simulated_fields"),
    shell:
        command("simulated_fields")


rule survey_fields:
    output:
        stamps=f"{DATA}/survey/stamps.h5",
        rejected=f"{DATA}/survey/rejected.csv",
    log:
        f"{LOGS}/survey_fields.log",
    benchmark:
        f"{BENCHMARKS}/survey_fields.tsv"
    params:
        settings=job_settings("survey_fields"),
    shell:
        command("survey_fields")


DATA_TABLES = (
    [rules.survey_fields.output.rejected] if "survey" in CONFIG.domains else []
)
DATA_FILES = []
