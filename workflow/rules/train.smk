# One learner per variant, method and seed. A method that builds on another one waits for it, and
# none waits for a domain it does not train on; then every learner predicts both domains. Snakemake
# keeps no checksum of a folder: what depends on a model depends on run.json, which has that of its
# weights.


rule train:
    input:
        simulated=stamps_of("simulated", trained_on),
        survey=stamps_of("survey", trained_on),
        start=start_run,
        teachers=teacher_runs,
    output:
        model=directory(f"{RUN}/model"),
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
        environment=f"{RUN}/environment.json",
    log:
        f"{LOGS}/train/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{task}}-{{variant}}-{{method}}-seed{{seed}}.tsv"
    threads: CONFIG.compute.threads_per_training
    resources:
        gpu=cluster.gpus(workflow, CONFIG.compute.gpus_per_training),
    params:
        settings=job_settings("train"),
        checkpoint=lambda w: f"{CHECKPOINTS}/{w.task}/{w.variant}/{w.method}/seed{w.seed}",
    shell:
        command("train", checkpoint="{params.checkpoint}")


rule predict:
    input:
        run=rules.train.output.run,
        simulated=stamps_of("simulated", tested_on),
        survey=stamps_of("survey", tested_on),
    output:
        predictions=f"{RUN}/predictions.parquet",
        embeddings=f"{RUN}/embeddings.parquet",
        record=f"{RUN}/predictions.json",
    log:
        f"{LOGS}/predict/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/predict/{{task}}-{{variant}}-{{method}}-seed{{seed}}.tsv"
    threads: CONFIG.compute.threads_per_training
    resources:
        gpu=cluster.gpus(workflow, CONFIG.compute.gpus_per_training),
    params:
        settings=job_settings("predict"),
    shell:
        command("predict")
