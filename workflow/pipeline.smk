# One experiment of one task, from its data to its report. What makes the stamps differs between
# tasks; from the variants on, all rules are shared.
include: "rules/common.smk"


if CONFIG.task == "galaxies":

    include: "rules/simulate.smk"
    include: "rules/survey.smk"
    include: "rules/extract.smk"

elif CONFIG.task == "stars":

    include: "rules/stars.smk"

else:

    include: "rules/screening.smk"


include: "rules/variants.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"


if CONFIG.task == "galaxies":

    include: "rules/package.smk"
    include: "rules/fits.smk"


include: "rules/compare.smk"
include: "rules/track.smk"


# Milestones: dvc.yaml has one stage for each. `all` lists every durable output, not only the
# last: otherwise a job that fails after its predecessor's output was deleted would look finished.
rule data:
    input:
        data_outputs(),


rule models:
    input:
        data_outputs(),
        run_outputs(),
        package_outputs(),


rule all:
    input:
        data_outputs(),
        run_outputs(),
        package_outputs(),
        table_outputs(),
