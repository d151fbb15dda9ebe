"""One file per method, with the paper's algorithm and nothing else; ``semiseg.method`` is the contract."""
