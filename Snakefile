# The pipeline lives in workflow/; this file lets `snakemake` find it from the project's root.
include: "workflow/Snakefile"


# An included file cannot say what plain `snakemake` makes; it makes everything.
rule default:
    default_target: True
    input:
        rules.all.input,
