"""The allowed content of params.yaml, and its reading. Nothing here depends on runs or on other files."""
