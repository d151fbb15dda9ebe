"""Base classes of methods, and parts of one method that do not fit into its file (named METHOD_what.py).

Code that several methods use is in ``semiseg.blocks``.
"""
