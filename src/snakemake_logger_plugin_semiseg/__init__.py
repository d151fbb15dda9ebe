"""Snakemake finds its logger plugins by the name of their package: this one offers ``semiseg.engine.screen``."""

from semiseg.engine.screen import Screen as LogHandler

__all__ = ["LogHandler"]
