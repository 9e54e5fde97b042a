"""Variants: chains of named steps that turn stamps into network input."""
