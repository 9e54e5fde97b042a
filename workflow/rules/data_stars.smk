# CCD frames of stars, simulated or the user's own -> stamps of the stars on them.

# The simulated frames and their table, in the form of a user's table.
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
    threads: 2
    params:
        settings=job_settings("star_frames"),
    shell:
        command("star_frames")


# The user's own frames are no input of the DAG: their digest is part of the job's settings.
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
    threads: 2
    params:
        settings=job_settings("star_stamps"),
    shell:
        command("star_stamps")


DATA_TABLES = expand(
    f"{DATA}/{{domain}}/{{name}}.csv",
    domain=CONFIG.domains,
    name=("frames", "rejected"),
)
DATA_FILES = [FRAME_LIST] if "simulated" in CONFIG.domains else []
