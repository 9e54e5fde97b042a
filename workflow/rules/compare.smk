# Tables over seeds, figures of data, features and comparison, and the report.
from galadapt.evaluation.families import of_optimizers

# One file per variant and method, whatever its seeds.
METRICS_FILES = list(
    dict.fromkeys(
        f"{RESULTS}/metrics/{run.variant}.{run.method}.json" for run in CONFIG.runs()
    )
)


rule comparison:
    input:
        metrics=of_runs(["metrics.json"]),
        breakdowns=of_runs(["breakdown.csv"]),
    output:
        comparison=f"{TABLES}/comparison.csv",
        breakdown=f"{TABLES}/breakdown.csv",
        text=f"{TABLES}/comparison.txt",
        markdown=f"{TABLES}/comparison.md",
        html=f"{TABLES}/comparison.html",
        summary=METRICS_FILES,
        plot=f"{TABLES}/headline.csv",
    log:
        f"{LOGS}/comparison.log",
    params:
        settings=job_settings("comparison"),
    shell:
        command("comparison")


NAMED = f"{FIGURES}/{{name}}.png"
DATA_FIGURES = expand(NAMED, name=TASK.data_figures)
COMPARISON_FIGURES = expand(NAMED, name=KIND.comparison_figures)
OF_VARIANT = [f"{FIGURES}/{{variant}}/{name}.png" for name in KIND.variant_figures]
VARIANT_FIGURES = expand(OF_VARIANT, variant=CONFIG.variants)

# Stamps of further simulations.
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
    params:
        settings=job_settings("data_figures"),
    shell:
        command("data_figures")


if OF_VARIANT:

    rule variant_figures:
        input:
            run=lambda wildcards: of_first_seed("run.json")(wildcards)[0],
            predictions=of_first_seed("predictions.parquet"),
        output:
            figures=OF_VARIANT,
        log:
            f"{LOGS}/variant_figures/{{variant}}.log",
        params:
            settings=job_settings("variant_figures"),
        shell:
            command("variant_figures")


# What the features show, of the first run of each method.
FEATURES = [
    f"{FIGURES}/{{variant}}/{name}.png"
    for name in ("feature_maps", "feature_dimensions", "eigen_images", "uncovered")
]
FEATURE_TABLES = [
    f"{TABLES}/{{variant}}/{name}.csv" for name in ("feature_space", "uncovered")
]
FEATURE_FIGURES = expand(FEATURES, variant=CONFIG.variants)


rule feature_space:
    input:
        runs=of_first_seed("run.json"),
        predictions=of_first_seed("predictions.parquet"),
        embeddings=of_first_seed("embeddings.parquet"),
        simulated=stamps_of("simulated", tested_on),
        survey=stamps_of("survey", tested_on),
    output:
        table=FEATURE_TABLES[0],
        uncovered=FEATURE_TABLES[1],
        figures=FEATURES,
    log:
        f"{LOGS}/feature_space/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/feature_space/{{variant}}.tsv"
    params:
        settings=job_settings("feature_space"),
    shell:
        command("feature_space")


# Where methods differ in nothing but their optimiser.
OPTIMIZERS = []
if of_optimizers(CONFIG.methods, CONFIG.model_dump(mode="json")["method_settings"]):
    OPTIMIZERS = [f"{TABLES}/optimizers.csv", f"{FIGURES}/optimizers.png"]

    rule optimizers:
        input:
            runs=of_runs(["run.json"]),
            histories=of_runs(["history.csv"]),
        output:
            table=OPTIMIZERS[0],
            figure=OPTIMIZERS[1],
        log:
            f"{LOGS}/optimizers.log",
        params:
            settings=job_settings("optimizers"),
        shell:
            command("optimizers")


rule comparison_figures:
    input:
        # All runs predict the same.
        run=f"{RUN_FOLDERS[0]}/run.json",
        comparison=rules.comparison.output.comparison,
        breakdown=rules.comparison.output.breakdown,
    output:
        figures=COMPARISON_FIGURES,
    log:
        f"{LOGS}/comparison_figures.log",
    params:
        settings=job_settings("comparison_figures"),
    shell:
        command("comparison_figures")


rule report:
    input:
        runs=of_runs(
            [
                "run.json",
                "metrics.json",
                "environment.json",
                "predictions.parquet",
                *KIND.tables,
            ]
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
        ablation=[*ABLATION, *OPTIMIZERS[1:]],
        features=FEATURE_FIGURES,
        survey=STAMPS.get("survey", []),
    output:
        report=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report.log",
    params:
        settings=job_settings("report"),
        runs=RUN_FOLDERS,
    shell:
        command("report", runs="{params.runs}")
