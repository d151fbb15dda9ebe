"""What Snakemake, SLURM and DVC are told: finished jobs, one call per folder, checks before submission, rehearsals."""
