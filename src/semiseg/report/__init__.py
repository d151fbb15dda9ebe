"""The finished table as text and as a page: texts, colours, charts, pictures. It imports no torch."""
