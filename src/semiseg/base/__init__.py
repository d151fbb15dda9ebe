"""What everything stands on: errors, files, progress, processes, terminal, a volume in space. It knows no project."""
