"""From params.yaml to jobs: which runs a table needs, which files, which parameters."""
