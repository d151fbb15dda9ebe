"""Base classes of methods, and halves of one method that do not fit its file (named METHOD_what.py).

What several methods use stands in ``semiseg.blocks``.
"""
