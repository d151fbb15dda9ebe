"""Heads and second decoders that methods add to a backbone."""
