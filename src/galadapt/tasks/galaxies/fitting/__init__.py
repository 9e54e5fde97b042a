"""Profile fits: what networks are read against."""
