"""X-ray fields for screening: simulated or the user's own, as one stamp set per domain."""
