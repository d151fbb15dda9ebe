"""Interfaces to Snakemake, SLURM and DVC: finished jobs, one call per folder, checks before submission, rehearsals."""
