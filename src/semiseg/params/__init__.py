"""What may be written in params.yaml, and its reading; knows no run and no file."""
