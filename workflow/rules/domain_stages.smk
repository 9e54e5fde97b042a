# One stage for each domain makes its stamps; that of the survey also lists what was rejected.
# The rules of the task's data name the stages and their threads: DOMAIN_STAGES.
REJECTED = [f"{DATA}/survey/rejected.csv"]

for domain_stage, its_threads in DOMAIN_STAGES.items():
    its_domain = domain_stage.partition("_")[0]

    rule:
        name:
            domain_stage
        output:
            stamps=f"{DATA}/{its_domain}/stamps.h5",
            rejected=REJECTED if its_domain == "survey" else [],
        log:
            f"{LOGS}/{domain_stage}.log",
        benchmark:
            f"{BENCHMARKS}/{domain_stage}.tsv"
        threads: its_threads
        params:
            settings=job_settings(domain_stage),
        shell:
            command(domain_stage)


DATA_TABLES = REJECTED if "survey" in CONFIG.domains else []
DATA_FILES = []
