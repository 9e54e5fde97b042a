# Stamps -> network input: one chain of steps per variant, applied to each domain.


rule variant:
    input:
        stamps=lambda wildcards: DOMAIN_STAMPS[wildcards.domain],
    output:
        stamps=VARIANT,
    log:
        f"{LOGS}/variant/{{variant}}-{{domain}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=job_settings("variant"),
    shell:
        "python -m galadapt stage variant --settings {params.settings:q}"
        " --input stamps {input.stamps}"
        " --output stamps {output.stamps} 2>&1 | tee {log}"
