"""The same scan twice, patients on both sides."""
