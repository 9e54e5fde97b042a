"""What every room builds on: files, errors, logging, random streams, processes, provenance."""
