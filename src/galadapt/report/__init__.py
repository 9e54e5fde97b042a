"""One self-contained page that says what was run, what came out and how far to trust it."""
