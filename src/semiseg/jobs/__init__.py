"""One job: alone on its outputs, on a GPU of its own, with a lineage record at its end."""
