# R² against a number of training stamps, where methods differ in nothing else.
from galadapt.evaluation.families import curves

if curves(CONFIG.methods, CONFIG.model_dump(mode="json")["method_settings"]):

    ABLATION = [f"{FIGURES}/ablation.png"]

    rule ablation:
        input:
            comparison=f"{TABLES}/comparison.csv",
            simulated=STAMPS["simulated"],
            survey=STAMPS["survey"],
        output:
            figure=ABLATION[0],
        log:
            f"{LOGS}/ablation.log",
        params:
            settings=job_settings("ablation"),
        shell:
            command("ablation")
