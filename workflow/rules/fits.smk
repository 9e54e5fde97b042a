# A careful profile fit of some of the survey's test galaxies, and the networks beside it. Fits
# depend on no network: another method compares again and fits nothing.

FITS = []

if CONFIG.profile_fit.galaxies:

    FITS = [
        f"{TABLES}/against_fits.csv",
        f"{TABLES}/against_fits.html",
        f"{FIGURES}/against_fits.png",
    ]

    rule profile_fits:
        input:
            survey=SURVEY_STAMPS,
        output:
            fits=f"{TABLES}/profile_fits.parquet",
        log:
            f"{LOGS}/profile_fits.log",
        benchmark:
            f"{BENCHMARKS}/profile_fits.tsv"
        conda:
            ENVIRONMENT
        threads: 2
        params:
            settings=job_settings("profile_fits"),
        shell:
            "python -m galadapt stage profile_fits --settings {params.settings:q}"
            " --input survey {input.survey} --output fits {output.fits} 2>&1 | tee {log}"

    rule against_fits:
        input:
            fits=rules.profile_fits.output.fits,
            runs=of_runs(["run.json", "predictions.parquet"]),
        output:
            table=FITS[0],
            html=FITS[1],
            figure=FITS[2],
        log:
            f"{LOGS}/against_fits.log",
        conda:
            ENVIRONMENT
        threads: 1
        params:
            settings=job_settings("against_fits"),
            runs=RUN_FOLDERS,
        shell:
            "python -m galadapt stage against_fits --settings {params.settings:q}"
            " --input fits {input.fits} --input runs {params.runs}"
            " --output table {output.table} --output html {output.html}"
            " --output figure {output.figure} 2>&1 | tee {log}"
