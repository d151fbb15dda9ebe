"""Claims that a paper's own method is the best: how probable it is that the order of two rows is due to chance."""
