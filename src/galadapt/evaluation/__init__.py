"""Evaluating predictions: metrics of one run, and the comparison of all runs."""
