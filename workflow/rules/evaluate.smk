# Metrics and figures of one run, from its plain files: no network is loaded here.

RUN_FIGURES = (
    ("confusion.png", "roc.png", "scores.png", "learning.png")
    if CONFIG.CLASSIFIES
    else ("scatter.png", "distributions.png", "residuals.png", "learning.png")
)


rule evaluate:
    input:
        run=rules.train.output.run,
        predictions=rules.predict.output.predictions,
        embeddings=rules.predict.output.embeddings,
        history=rules.train.output.history,
    output:
        metrics=f"{RUN}/metrics.json",
        detail=f"{RUN}/metrics_{DETAIL}.csv",
        answers=[f"{RUN}/answers.csv"] if CONFIG.CLASSIFIES else [],
    log:
        f"{LOGS}/evaluate/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        stage=f"evaluate{KIND}",
        settings=job_settings(f"evaluate{KIND}"),
    shell:
        "python -m galadapt stage {params.stage} --settings {params.settings:q}"
        " --input run {input.run} --input predictions {input.predictions}"
        " --input embeddings {input.embeddings} --input history {input.history}"
        " --output metrics {output.metrics} --output detail {output.detail}"
        " --output answers {output.answers}"
        " 2>&1 | tee {log}"


rule run_figures:
    input:
        predictions=rules.predict.output.predictions,
        history=rules.train.output.history,
        metrics=rules.evaluate.output.metrics,
    output:
        figures=[f"{RUN}/figures/{name}" for name in RUN_FIGURES],
    log:
        f"{LOGS}/run_figures/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        stage=f"run_figures{KIND}",
        settings=job_settings(f"run_figures{KIND}"),
    shell:
        "python -m galadapt stage {params.stage} --settings {params.settings:q}"
        " --input predictions {input.predictions} --input history {input.history}"
        " --input metrics {input.metrics}"
        " --output figures {output.figures} 2>&1 | tee {log}"
