# The method chosen without survey labels, and the loss compared with the best one.

CHOICE = [f"{TABLES}/choice.csv", f"{TABLES}/choice.html"]


rule choice:
    input:
        runs=of_runs(["run.json", "metrics.json", "predictions.parquet"]),
    output:
        choice=CHOICE[0],
        html=CHOICE[1],
    log:
        f"{LOGS}/choice.log",
    params:
        settings=job_settings("choice"),
        runs=RUN_FOLDERS,
    shell:
        command("choice", runs="{params.runs}")
