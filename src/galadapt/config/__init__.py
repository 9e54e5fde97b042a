"""The sections of a configuration that every task shares."""
