"""Lineage: the chain of jobs behind a number, as a tree."""
