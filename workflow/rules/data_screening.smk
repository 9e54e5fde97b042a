# X-ray fields, simulated or the user's own, on the same pixels.
DOMAIN_STAGES = {"simulated_fields": 2, "survey_fields": 1}


include: "domain_stages.smk"
