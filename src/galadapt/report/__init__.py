"""One self-contained page: what was run, the results and their caveats."""
