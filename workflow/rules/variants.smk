# Stamps -> network input: one chain of steps per variant, applied to each stamp set.


rule variant:
    input:
        stamp_set=lambda wildcards: STAMPS[wildcards.source],
    output:
        stamps=VARIANT,
    log:
        f"{LOGS}/variant/{{variant}}-{{source}}.log",
    params:
        settings=job_settings("variant"),
    shell:
        command("variant")
