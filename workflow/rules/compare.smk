# Tables over seeds, figures of data and comparison, and the report.


rule comparison:
    input:
        metrics=of_runs(["metrics.json"]),
        bins=of_runs(["metrics_by_magnitude.csv"]),
    output:
        comparison=f"{TABLES}/comparison.csv",
        by_magnitude=f"{TABLES}/by_magnitude.csv",
        markdown=f"{TABLES}/comparison.md",
        html=f"{TABLES}/comparison.html",
        summary=expand(
            f"{TABLES}/metrics/{{variant}}.{{method}}.json",
            variant=CONFIG.variants,
            method=CONFIG.methods,
        ),
        plot=f"{TABLES}/survey_r2.csv",
    log:
        f"{LOGS}/comparison.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("comparison"),
    shell:
        "python -m galadapt stage comparison --settings {params.settings:q}"
        " --input metrics {input.metrics} --input bins {input.bins}"
        " --output comparison {output.comparison} --output by_magnitude {output.by_magnitude}"
        " --output markdown {output.markdown} --output html {output.html}"
        " --output summary {output.summary} --output plot {output.plot} 2>&1 | tee {log}"


DATA_FIGURES = [f"{FIGURES}/parameters.png", f"{FIGURES}/stamps.png"]
COMPARISON_FIGURES = [
    f"{FIGURES}/r2_by_method.png",
    f"{FIGURES}/scatter_by_magnitude.png",
]
VARIANT_FIGURES = expand(
    f"{FIGURES}/{{variant}}/{{name}}.png",
    variant=CONFIG.variants,
    name=("survey_scatter", "feature_maps"),
)


rule data_figures:
    input:
        simulated=SHARDS,
        survey=SURVEY_STAMPS,
    output:
        parameters=DATA_FIGURES[0],
        stamps=DATA_FIGURES[1],
    log:
        f"{LOGS}/data_figures.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("data_figures"),
    shell:
        "python -m galadapt stage data_figures --settings {params.settings:q}"
        " --input simulated {input.simulated} --input survey {input.survey}"
        " --output parameters {output.parameters} --output stamps {output.stamps} 2>&1 | tee {log}"


rule variant_figures:
    input:
        predictions=first_seed("predictions.parquet"),
        embeddings=first_seed("embeddings.parquet"),
    output:
        survey_scatter=f"{FIGURES}/{{variant}}/survey_scatter.png",
        feature_maps=f"{FIGURES}/{{variant}}/feature_maps.png",
    log:
        f"{LOGS}/variant_figures/{{variant}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("variant_figures"),
    shell:
        "python -m galadapt stage variant_figures --settings {params.settings:q}"
        " --input predictions {input.predictions} --input embeddings {input.embeddings}"
        " --output survey_scatter {output.survey_scatter}"
        " --output feature_maps {output.feature_maps} 2>&1 | tee {log}"


rule comparison_figures:
    input:
        comparison=rules.comparison.output.comparison,
        by_magnitude=rules.comparison.output.by_magnitude,
    output:
        r2_by_method=COMPARISON_FIGURES[0],
        scatter_by_magnitude=COMPARISON_FIGURES[1],
    log:
        f"{LOGS}/comparison_figures.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("comparison_figures"),
    shell:
        "python -m galadapt stage comparison_figures --settings {params.settings:q}"
        " --input comparison {input.comparison} --input by_magnitude {input.by_magnitude}"
        " --output r2_by_method {output.r2_by_method}"
        " --output scatter_by_magnitude {output.scatter_by_magnitude} 2>&1 | tee {log}"


rule report:
    input:
        runs=of_runs(["run.json", "metrics.json", "environment.json"]),
        comparison=rules.comparison.output.html,
        data_figures=DATA_FIGURES,
        comparison_figures=COMPARISON_FIGURES,
        variant_figures=VARIANT_FIGURES,
        cuts=rules.select.output.cuts,
        rejected=rules.extract.output.rejected,
        package=package_outputs()[0],
    output:
        report=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("report"),
        runs=RUN_FOLDERS,
    shell:
        "python -m galadapt stage report --settings {params.settings:q}"
        " --input runs {params.runs} --input comparison {input.comparison}"
        " --input data_figures {input.data_figures}"
        " --input comparison_figures {input.comparison_figures}"
        " --input variant_figures {input.variant_figures}"
        " --input cuts {input.cuts} --input rejected {input.rejected}"
        " --input package {input.package}"
        " --output report {output.report} 2>&1 | tee {log}"
