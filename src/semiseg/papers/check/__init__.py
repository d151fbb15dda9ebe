"""What arithmetic says about printed numbers."""
