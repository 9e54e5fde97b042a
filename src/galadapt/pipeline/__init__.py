"""Mirrors of finished run folders in experiment trackers."""
