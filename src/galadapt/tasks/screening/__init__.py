"""X-ray fields for screening: simulated or the user's own, as one stamp set per domain.

Modules: `classes` (OBS_CLASS), `moments` (three statistics of an image), `instrument` (chips,
mirrors and PSF of the cameras), `sky` (sources), `defects` (defects and their flagged regions),
`simulate` (whole fields), `files` (from images to fields), `products` (names and addresses in the
archives).
"""
