# Finished run folders and what is said of them all -> MLflow, in one job: parallel writers would collide in its database.


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
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("track"),
        runs=RUN_FOLDERS,
    shell:
        "python -m galadapt stage track --settings {params.settings:q}"
        " --input runs {params.runs} --input summary {input.summary}"
        " --output manifest {output.manifest} 2>&1 | tee {log}"
