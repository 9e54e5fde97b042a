# Tables over seeds, figures of data and comparison, and the report.

# One file per variant and method, whatever its seeds.
METRICS_FILES = list(
    dict.fromkeys(
        f"{RESULTS}/metrics/{run.variant}.{run.method}.json" for run in CONFIG.runs()
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
    params:
        settings=job_settings(f"comparison{KIND}"),
    shell:
        command(f"comparison{KIND}")


NAMED = f"{FIGURES}/{{name}}.png"

if CONFIG.CLASSIFIES:
    MOMENTS = ["moments"] if CONFIG.task == "screening" else []
    DATA_FIGURES = expand(NAMED, name=["counts", *MOMENTS, "contact_sheet"])
    COMPARISON_FIGURES = expand(NAMED, name=["quality", "errors"])
    VARIANT_FIGURES = []
else:
    DATA_FIGURES = expand(NAMED, name=["parameters", "stamps"])
    COMPARISON_FIGURES = expand(NAMED, name=["r2_by_method", "scatter_by_magnitude"])
    VARIANT_FIGURES = expand(
        f"{FIGURES}/{{variant}}/{{name}}.png",
        variant=CONFIG.variants,
        name=("survey_scatter", "feature_maps"),
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
    params:
        settings=job_settings(f"data_figures{KIND}"),
    shell:
        command(f"data_figures{KIND}")


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
    params:
        settings=job_settings("variant_figures"),
    shell:
        command("variant_figures")


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
    params:
        settings=job_settings(f"comparison_figures{KIND}"),
    shell:
        command(f"comparison_figures{KIND}")


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
    params:
        settings=job_settings("report"),
        runs=RUN_FOLDERS,
    shell:
        command("report", runs="{params.runs}")
