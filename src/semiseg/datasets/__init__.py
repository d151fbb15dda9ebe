"""One file per dataset: where it comes from and how its raw files become cases (contract: ``semiseg.dataset``)."""
