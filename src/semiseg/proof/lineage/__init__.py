"""Told as a tree."""
