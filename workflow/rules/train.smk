# One network per variant, method and seed. A method that starts from another one waits for it.


rule train:
    input:
        simulated=f"{DATA}/variants/{{variant}}/simulated.h5",
        survey=f"{DATA}/variants/{{variant}}/survey.h5",
        start=start_model,
    output:
        model=f"{RUN}/model.keras",
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
        environment=f"{RUN}/environment.json",
        predictions=f"{RUN}/predictions.parquet",
        embeddings=f"{RUN}/embeddings.parquet",
    log:
        f"{LOGS}/train/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{task}}-{{variant}}-{{method}}-seed{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.compute.threads_per_training
    resources:
        gpu=CONFIG.compute.gpus_per_training,
    params:
        settings=job_settings("train"),
        checkpoint=lambda w: f"{CHECKPOINTS}/{w.task}/{w.variant}/{w.method}/seed{w.seed}",
    shell:
        "python -m galadapt stage train --settings {params.settings:q}"
        " --input simulated {input.simulated} --input survey {input.survey}"
        " --input start {input.start}"
        " --output run $(dirname {output.model}) --output checkpoint {params.checkpoint}"
        " 2>&1 | tee {log}"
