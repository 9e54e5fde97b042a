# Metrics and figures of one run, from its plain files: no network is loaded here.

RUN_FIGURES = ("scatter.png", "distributions.png", "residuals.png", "learning.png")


rule evaluate:
    input:
        run=rules.train.output.run,
        predictions=rules.predict.output.predictions,
        embeddings=rules.predict.output.embeddings,
    output:
        metrics=f"{RUN}/metrics.json",
        by_magnitude=f"{RUN}/metrics_by_magnitude.csv",
    log:
        f"{LOGS}/evaluate/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("evaluate"),
    shell:
        "python -m galadapt stage evaluate --settings {params.settings:q}"
        " --input run {input.run} --input predictions {input.predictions}"
        " --input embeddings {input.embeddings}"
        " --output metrics {output.metrics} --output by_magnitude {output.by_magnitude}"
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
        settings=job_settings("run_figures"),
    shell:
        "python -m galadapt stage run_figures --settings {params.settings:q}"
        " --input predictions {input.predictions} --input history {input.history}"
        " --input metrics {input.metrics}"
        " --output figures {output.figures} 2>&1 | tee {log}"
