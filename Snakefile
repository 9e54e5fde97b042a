# The pipeline lives in workflow/; this file lets `snakemake` find it from the project's root.
include: "workflow/Snakefile"
