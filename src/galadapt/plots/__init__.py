"""Figures: each function reads plain files and draws exactly one PNG, the same bytes every time."""
