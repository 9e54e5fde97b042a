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
        summary=f"{TABLES}/summary.json",
        plot=f"{TABLES}/survey_r2.csv",
    params:
        settings=job_settings("comparison"),
    threads: 1
    log:
        f"{LOGS}/comparison.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m galadapt stage comparison --settings {params.settings:q}"
        " --input metrics {input.metrics} --input bins {input.bins}"
        " --output comparison {output.comparison} --output by_magnitude {output.by_magnitude}"
        " --output markdown {output.markdown} --output html {output.html}"
        " --output summary {output.summary} --output plot {output.plot} 2>&1 | tee {log}"
