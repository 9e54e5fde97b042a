# Images of galaxies with the votes of volunteers: simulated, of a mock survey, or the user's own.


rule simulated_votes:
    output:
        stamps=f"{DATA}/simulated/stamps.h5",
    log:
        f"{LOGS}/simulated_votes.log",
    benchmark:
        f"{BENCHMARKS}/simulated_votes.tsv"
    threads: 2
    params:
        settings=job_settings("simulated_votes"),
    shell:
        command("simulated_votes")


rule survey_votes:
    output:
        stamps=f"{DATA}/survey/stamps.h5",
        rejected=f"{DATA}/survey/rejected.csv",
    log:
        f"{LOGS}/survey_votes.log",
    benchmark:
        f"{BENCHMARKS}/survey_votes.tsv"
    threads: 2
    params:
        settings=job_settings("survey_votes"),
    shell:
        command("survey_votes")


DATA_TABLES = [rules.survey_votes.output.rejected] if "survey" in CONFIG.domains else []
DATA_FILES = []
