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
    params:
        settings=job_settings(f"evaluate{KIND}"),
    shell:
        command(f"evaluate{KIND}")


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
    params:
        settings=job_settings(f"run_figures{KIND}"),
    shell:
        command(f"run_figures{KIND}")
