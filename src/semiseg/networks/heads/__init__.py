"""Heads and second decoders."""
