# The pipeline lives in workflow/; this file lets `snakemake` find it from the project's root.
include: "workflow/Snakefile"


# Plain `snakemake` makes everything; an included file cannot set the default target.
rule default:
    default_target: True
    input:
        rules.all.input,
