# Simulated stamps, in shards: each is a job, and an interrupted one is redone alone.

SHARDS = [f"{DATA}/simulated/shard-{k:03d}.h5" for k in range(CONFIG.simulation.shards)]


rule simulate:
    output:
        stamps=f"{DATA}/simulated/shard-{{shard}}.h5",
    log:
        f"{LOGS}/simulate/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate/{{shard}}.tsv"
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
