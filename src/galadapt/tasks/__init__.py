"""Tasks: what each one measures, its settings and how its stamps are made."""
