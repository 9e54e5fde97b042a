# CCD frames of stars, simulated or the user's own -> stamps of the stars on them.

# The simulated frames and their list, in the form of a user's list.
FRAMES = f"{DATA}/simulated/frames"
FRAME_LIST = f"{DATA}/simulated/list.csv"


rule star_frames:
    output:
        frames=directory(FRAMES),
        table=FRAME_LIST,
    log:
        f"{LOGS}/star_frames.log",
    benchmark:
        f"{BENCHMARKS}/star_frames.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    params:
        settings=job_settings("star_frames"),
    shell:
        "python -m galadapt stage star_frames --settings {params.settings:q}"
        " --output frames {output.frames} --output table {output.table} 2>&1 | tee {log}"


# The user's own frames are no input of the DAG: they take part by their digest.
rule star_stamps:
    input:
        frames=lambda wildcards: FRAMES if wildcards.domain == "simulated" else [],
        table=lambda wildcards: FRAME_LIST if wildcards.domain == "simulated" else [],
    output:
        stamps=f"{DATA}/{{domain}}/stamps.h5",
        frames=f"{DATA}/{{domain}}/frames.csv",
        rejected=f"{DATA}/{{domain}}/rejected.csv",
    log:
        f"{LOGS}/star_stamps/{{domain}}.log",
    benchmark:
        f"{BENCHMARKS}/star_stamps/{{domain}}.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    params:
        settings=job_settings("star_stamps"),
    shell:
        "python -m galadapt stage star_stamps --settings {params.settings:q}"
        " --input table {input.table}"
        " --output stamps {output.stamps} --output frames {output.frames}"
        " --output rejected {output.rejected} 2>&1 | tee {log}"


# What the shared rules ask of a task.
STAMPS = {
    domain: [rules.star_stamps.output.stamps.format(domain=domain)]
    for domain in CONFIG.domains
}
DATA_TABLES = expand(
    f"{DATA}/{{domain}}/{{name}}.csv",
    domain=CONFIG.domains,
    name=("frames", "rejected"),
)
DATA_FILES = [FRAME_LIST] if "simulated" in CONFIG.domains else []
