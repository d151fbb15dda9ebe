"""What stands behind a number: chain of records."""
