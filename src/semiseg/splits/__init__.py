"""The papers' lists of cases as data, one YAML file per split (reader: ``semiseg.data.split_lists``)."""
