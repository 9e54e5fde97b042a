# Stamps -> network input: one chain of steps per variant, applied to each stamp set.


rule variant:
    input:
        stamps=lambda wildcards: STAMPS[wildcards.source],
    output:
        stamps=VARIANT,
    log:
        f"{LOGS}/variant/{{variant}}-{{source}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("variant"),
    shell:
        "python -m galadapt stage variant --settings {params.settings:q}"
        " --input stamps {input.stamps}"
        " --output stamps {output.stamps} 2>&1 | tee {log}"
