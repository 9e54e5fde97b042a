# Finished run folders and the tables of them all -> MLflow, in one job: parallel writers would
# collide in its database.


rule track:
    input:
        run_outputs(),
        summary=summary_outputs(),
    output:
        manifest=f"{RESULTS}/tracking/manifest.csv",
    log:
        f"{LOGS}/track.log",
    benchmark:
        f"{BENCHMARKS}/track.tsv"
    params:
        settings=job_settings("track"),
        runs=RUN_FOLDERS,
    shell:
        command("track", runs="{params.runs}")
