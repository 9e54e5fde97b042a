# Simulated stamps, in shards: each is a job, and an interrupted one is redone alone. Further
# simulations lie beside the one the experiment is named after.

SIMULATED = {
    source: [
        f"{DATA}/{source}/shard-{k:03d}.h5"
        for k in range(CONFIG.seen_by({"source": source}).simulation.shards)
    ]
    for source in CONFIG.sources
    if source != "survey"
}


rule simulate:
    output:
        stamps=f"{DATA}/{{source}}/shard-{{shard}}.h5",
    log:
        f"{LOGS}/simulate/{{source}}-{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate/{{source}}-{{shard}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=int(CONFIG.simulation.renderer == "ktable_jax"),
    params:
        settings=job_settings("simulate"),
    shell:
        "python -m galadapt stage simulate --settings {params.settings:q}"
        " --output stamps {output.stamps} 2>&1 | tee {log}"
