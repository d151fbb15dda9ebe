"""Audits: whether recorded results still hold."""
