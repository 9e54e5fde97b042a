# Stamps -> network input: one chain of steps per variant, applied to each domain.


def stamps_of_domain(wildcards):
    return SHARDS if wildcards.domain == "simulated" else [SURVEY_STAMPS]


rule variant:
    input:
        stamps=stamps_of_domain,
    output:
        stamps=f"{DATA}/variants/{{variant}}/{{domain}}.h5",
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


def data_outputs():
    variants = expand(
        f"{DATA}/variants/{{variant}}/{{domain}}.h5",
        variant=CONFIG.variants,
        domain=DOMAINS,
    )
    return [
        *SHARDS,
        *rules.survey.output,
        *rules.select.output,
        *rules.extract.output,
        *variants,
    ]
