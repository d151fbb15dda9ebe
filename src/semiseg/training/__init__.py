"""The one training loop: batches, state that survives a kill, validation."""
