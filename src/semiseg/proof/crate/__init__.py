"""As a research object, and back."""
