"""One file per method: the paper's algorithm and nothing else (see ``semiseg.method`` for the contract)."""
