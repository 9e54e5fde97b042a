# Metrics and figures of one run, from its plain files: no network is loaded here.


rule evaluate:
    input:
        run=rules.train.output.run,
        predictions=rules.predict.output.predictions,
        embeddings=rules.predict.output.embeddings,
        history=rules.train.output.history,
    output:
        metrics=f"{RUN}/metrics.json",
        breakdown=f"{RUN}/breakdown.csv",
        more=[f"{RUN}/{name}" for name in KIND.tables],
    log:
        f"{LOGS}/evaluate/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    params:
        settings=job_settings("evaluate"),
    shell:
        command("evaluate")


rule run_figures:
    input:
        run=rules.train.output.run,
        predictions=rules.predict.output.predictions,
        history=rules.train.output.history,
        simulated=stamps_of("simulated", shown),
        survey=stamps_of("survey", shown),
    output:
        figures=[f"{RUN}/figures/{name}.png" for name in KIND.run_figures],
    log:
        f"{LOGS}/run_figures/{{task}}-{{variant}}-{{method}}-seed{{seed}}.log",
    params:
        settings=job_settings("run_figures"),
    shell:
        command("run_figures")
