"""Research objects: a table with all that stands behind it, written for others and read back safely."""
