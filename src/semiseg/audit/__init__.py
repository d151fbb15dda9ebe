"""Whether a file is what its lineage says, down to the raw scans: hashes, records, parameters, code, recomputation."""
