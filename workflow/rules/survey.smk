# A survey is a field: mosaic, weight and catalogue in CANDELS' formats; then the catalogue's cuts.

FIELD = f"{DATA}/survey/field"


rule survey:
    output:
        drz=f"{FIELD}/drz.fits",
        wht=f"{FIELD}/wht.fits",
        catalog=f"{FIELD}/catalog.galfit",
        truth=f"{FIELD}/truth.parquet",
    log:
        f"{LOGS}/survey.log",
    benchmark:
        f"{BENCHMARKS}/survey.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("survey"),
    shell:
        "python -m galadapt stage survey --settings {params.settings:q}"
        " --output drz {output.drz} --output wht {output.wht}"
        " --output catalog {output.catalog} --output truth {output.truth} 2>&1 | tee {log}"


rule select:
    input:
        catalog=rules.survey.output.catalog,
    output:
        selected=f"{DATA}/survey/selected.parquet",
        cuts=f"{DATA}/survey/cuts.csv",
    log:
        f"{LOGS}/select.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("select"),
    shell:
        "python -m galadapt stage select --settings {params.settings:q}"
        " --input catalog {input.catalog}"
        " --output selected {output.selected} --output cuts {output.cuts} 2>&1 | tee {log}"
