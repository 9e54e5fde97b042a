# The networks of one variant and method, all seeds together, as `galadapt predict` needs them. Any
# can be made; `all` makes the one that `predictor` names.


PACKAGE = f"{RESULTS}/models/{{task}}/{{variant}}/{{method}}"


rule package:
    input:
        runs=records_of,
        simulated=lambda wildcards: STAMPS[CONFIG.source(wildcards.method, "simulated")],
        survey=STAMPS["survey"],
    output:
        package=f"{PACKAGE}/package.json",
        reference=f"{PACKAGE}/reference.parquet",
        members=[f"{PACKAGE}/member-{k}.onnx" for k in range(1, len(CONFIG.seeds) + 1)],
    log:
        f"{LOGS}/package/{{task}}-{{variant}}-{{method}}.log",
    threads: CONFIG.compute.threads_per_training
    resources:
        gpu=cluster.gpus(workflow, CONFIG.compute.gpus_per_training),
    params:
        settings=job_settings("package"),
    shell:
        command("package")


PACKAGE_FIGURES = [
    f"{FIGURES}/{name}.png" for name in ("coverage", "predicted_with_errors")
]


# Of the package that `predictor` names. Its networks' predictions are at hand: none is loaded.
rule package_figures:
    input:
        package=package_outputs()[0],
        reference=package_outputs()[1],
        predictions=[
            f"{RUNS}/{run.folder}/predictions.parquet"
            for run in CONFIG.predictor_runs()
        ],
    output:
        figures=PACKAGE_FIGURES,
    log:
        f"{LOGS}/package_figures.log",
    params:
        settings=job_settings("package_figures"),
    shell:
        command("package_figures")
