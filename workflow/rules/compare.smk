# Tables over seeds, figures of data and comparison, and the report.
from galadapt.evaluation.ablation import curves

# One file per variant and method, whatever its seeds.
METRICS_FILES = list(
    dict.fromkeys(
        f"{TABLES}/metrics/{run.variant}.{run.method}.json" for run in CONFIG.runs()
    )
)


rule comparison:
    input:
        metrics=of_runs(["metrics.json"]),
        details=of_runs([f"metrics_{DETAIL}.csv"]),
    output:
        comparison=f"{TABLES}/comparison.csv",
        detail=f"{TABLES}/{DETAIL}.csv",
        markdown=f"{TABLES}/comparison.md",
        html=f"{TABLES}/comparison.html",
        summary=METRICS_FILES,
        plot=f"{TABLES}/{'scores' if CONFIG.CLASSIFIES else 'survey_r2'}.csv",
    log:
        f"{LOGS}/comparison.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        stage=f"comparison{KIND}",
        settings=job_settings(f"comparison{KIND}"),
    shell:
        "python -m galadapt stage {params.stage} --settings {params.settings:q}"
        " --input metrics {input.metrics} --input details {input.details}"
        " --output comparison {output.comparison} --output detail {output.detail}"
        " --output markdown {output.markdown} --output html {output.html}"
        " --output summary {output.summary} --output plot {output.plot} 2>&1 | tee {log}"


NAMED = f"{FIGURES}/{{name}}.png"
CHOICE = []

if not CONFIG.CLASSIFIES:
    CHOICE = [f"{TABLES}/choice.csv", f"{TABLES}/choice.html"]

    # What a user without survey labels would choose, and what that costs.
    rule choice:
        input:
            runs=of_runs(["run.json", "metrics.json", "predictions.parquet"]),
        output:
            choice=CHOICE[0],
            html=CHOICE[1],
        log:
            f"{LOGS}/choice.log",
        conda:
            ENVIRONMENT
        threads: 1
        params:
            settings=job_settings("choice"),
            runs=RUN_FOLDERS,
        shell:
            "python -m galadapt stage choice --settings {params.settings:q}"
            " --input runs {params.runs}"
            " --output choice {output.choice} --output html {output.html} 2>&1 | tee {log}"


if CONFIG.CLASSIFIES:
    MOMENTS = ["moments"] if CONFIG.task == "screening" else []
    DATA_FIGURES = expand(NAMED, name=["counts", *MOMENTS, "contact_sheet"])
    COMPARISON_FIGURES = expand(NAMED, name=["quality", "errors"])
    VARIANT_FIGURES = []
    PACKAGE_FIGURES = []
    FITS = []
    ABLATION = []
else:
    DATA_FIGURES = expand(NAMED, name=["parameters", "stamps"])
    COMPARISON_FIGURES = expand(NAMED, name=["r2_by_method", "scatter_by_magnitude"])
    VARIANT_FIGURES = expand(
        f"{FIGURES}/{{variant}}/{{name}}.png",
        variant=CONFIG.variants,
        name=("survey_scatter", "feature_maps"),
    )
    ABLATION = (
        expand(NAMED, name=["ablation"])
        if curves(CONFIG.methods, CONFIG.model_dump(mode="json")["method_settings"])
        else []
    )


# Stamps of every simulation but the one the experiment is named after.
FURTHER = [
    path
    for source, paths in STAMPS.items()
    for path in paths
    if source not in CONFIG.domains
]


rule data_figures:
    input:
        simulated=STAMPS.get("simulated", []),
        survey=STAMPS.get("survey", []),
        further=FURTHER,
    output:
        figures=DATA_FIGURES,
    log:
        f"{LOGS}/data_figures.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        stage=f"data_figures{KIND}",
        settings=job_settings(f"data_figures{KIND}"),
    shell:
        "python -m galadapt stage {params.stage} --settings {params.settings:q}"
        " --input simulated {input.simulated} --input survey {input.survey}"
        " --input further {input.further}"
        " --output figures {output.figures} 2>&1 | tee {log}"


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
        detail=rules.comparison.output.detail,
    output:
        figures=COMPARISON_FIGURES,
    log:
        f"{LOGS}/comparison_figures.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        stage=f"comparison_figures{KIND}",
        settings=job_settings(f"comparison_figures{KIND}"),
    shell:
        "python -m galadapt stage {params.stage} --settings {params.settings:q}"
        " --input comparison {input.comparison} --input detail {input.detail}"
        " --output figures {output.figures} 2>&1 | tee {log}"


if ABLATION:

    rule ablation:
        input:
            comparison=rules.comparison.output.comparison,
            simulated=STAMPS["simulated"],
            survey=STAMPS["survey"],
        output:
            figure=ABLATION[0],
        log:
            f"{LOGS}/ablation.log",
        conda:
            ENVIRONMENT
        threads: 1
        params:
            settings=job_settings("ablation"),
        shell:
            "python -m galadapt stage ablation --settings {params.settings:q}"
            " --input comparison {input.comparison} --input simulated {input.simulated}"
            " --input survey {input.survey} --output figure {output.figure} 2>&1 | tee {log}"


rule report:
    input:
        runs=of_runs(
            ["run.json", "metrics.json", "environment.json"]
            + ["answers.csv"] * CONFIG.CLASSIFIES
        ),
        comparison=rules.comparison.output.html,
        data_figures=DATA_FIGURES,
        comparison_figures=COMPARISON_FIGURES,
        variant_figures=VARIANT_FIGURES,
        tables=DATA_TABLES,
        package=package_outputs()[:1],
        package_figures=PACKAGE_FIGURES,
        choice=CHOICE[1:],
        fits=FITS[1:2],
        fits_figure=FITS[2:],
        ablation=ABLATION,
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
        " --input tables {input.tables} --input package {input.package}"
        " --input package_figures {input.package_figures} --input choice {input.choice}"
        " --input ablation {input.ablation}"
        " --input fits {input.fits} --input fits_figure {input.fits_figure}"
        " --output report {output.report} 2>&1 | tee {log}"
