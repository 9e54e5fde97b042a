"""Votes: the shares of volunteers who give each answer of a tree of questions (Galaxy Zoo)."""
