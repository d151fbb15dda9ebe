"""Comparison of two rows of tables, or of two builds of a table, also from two machines."""
