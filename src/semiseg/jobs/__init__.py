"""How one job runs: alone on its outputs, on a GPU of its own, and with a lineage record at its end."""
