"""Synthetic anatomy: shapes painted on a voxel grid, for phantoms and stand-ins. No patient data went into it."""
