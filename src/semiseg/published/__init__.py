"""The papers' printed numbers as data, one CSV file per paper (reader: ``semiseg.papers.reading``)."""
