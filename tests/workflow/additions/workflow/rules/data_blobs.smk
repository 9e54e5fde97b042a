rule blob_stamps:
    output:
        stamps=f"{DATA}/{{domain}}/stamps.h5",
    log:
        f"{LOGS}/blob_stamps/{{domain}}.log",
    params:
        settings=job_settings("blob_stamps"),
    shell:
        command("blob_stamps")


DATA_TABLES = []
DATA_FILES = []
