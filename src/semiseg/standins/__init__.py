"""One file per dataset: its synthetic twin, laid out like the real one (contract: ``semiseg.data.standin``)."""
