"""What every other package uses: errors, files, progress, processes, terminal, a volume in space."""
