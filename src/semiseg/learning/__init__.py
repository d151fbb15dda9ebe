"""The one training loop, and inference."""
