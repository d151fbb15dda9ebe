"""One file per workflow rule: the command line calls these, and they call everything below them."""
