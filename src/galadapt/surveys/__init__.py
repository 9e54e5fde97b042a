"""Surveys: what is measured, and where its mosaics and catalogues come from."""
