# One experiment of one task, from its data to its report. What makes the stamps, and the optional
# parts, differ between tasks; all other rules are shared.
include: "rules/common.smk"
include: f"rules/data_{CONFIG.task}.smk"
include: "rules/variants.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"


for part in TASK.parts:

    include: f"rules/parts/{part}.smk"


# Without a survey there is nothing to choose a method for.
if set(CONFIG.domains) == {"simulated", "survey"}:

    include: "rules/choice.smk"


include: "rules/compare.smk"
include: "rules/track.smk"


# Milestones: dvc.yaml has one stage for each. `all` lists every durable output, not only the
# last: otherwise a job that fails after its predecessor's output was deleted would look finished.
rule data:
    input:
        data_outputs(),


rule models:
    input:
        rules.data.input,
        run_outputs(),
        model_outputs(),
        package_outputs(),


rule all:
    input:
        rules.models.input,
        table_outputs(),
