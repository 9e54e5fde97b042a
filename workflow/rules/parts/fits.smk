# A profile fit of some of the survey's test galaxies, compared with the networks. Fits depend on no
# network: a new method repeats the comparison, not the fits.

if CONFIG.profile_fit.galaxies:

    FITS = [
        f"{TABLES}/against_fits.csv",
        f"{TABLES}/against_fits.html",
        f"{FIGURES}/against_fits.png",
    ]

    rule profile_fits:
        input:
            survey=STAMPS["survey"],
        output:
            fits=f"{TABLES}/profile_fits.parquet",
        log:
            f"{LOGS}/profile_fits.log",
        benchmark:
            f"{BENCHMARKS}/profile_fits.tsv"
        params:
            settings=job_settings("profile_fits"),
        shell:
            command("profile_fits")

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
        params:
            settings=job_settings("against_fits"),
            runs=RUN_FOLDERS,
        shell:
            command("against_fits", runs="{params.runs}")
