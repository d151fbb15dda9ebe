"""Pictures by target."""
