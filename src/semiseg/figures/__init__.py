"""Pictures by target: files of their own for papers and slides, from the same drawing as the page of a table."""
