"""X-ray fields for screening: simulated or the user's own, as one stamp set per domain.

A module here owns one decision: `classes` what OBS_CLASS means, `moments` R3's three statistics,
`instrument` where the chips of the cameras lie and what they see, `sky` what there is to see,
`defects` what goes wrong and which region is flagged for it, `simulate` how a field is put
together, `files` how an image becomes a field, `products` what the archives call it.
"""
