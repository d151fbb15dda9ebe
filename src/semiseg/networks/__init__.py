"""One file per backbone (contract: ``semiseg.network``)."""
