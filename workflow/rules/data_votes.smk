# Images of galaxies with the votes of volunteers: simulated, of a mock survey, or the user's own.
DOMAIN_STAGES = {"simulated_votes": 2, "survey_votes": 2}


include: "domain_stages.smk"
