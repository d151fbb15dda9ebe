"""Questions before anything runs: front pages (a file per kind of thing), cost of a table, check of a split."""
