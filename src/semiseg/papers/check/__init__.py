"""Arithmetic checks of printed numbers."""
