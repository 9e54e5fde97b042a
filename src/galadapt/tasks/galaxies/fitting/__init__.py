"""Profile fits, to compare networks with."""
