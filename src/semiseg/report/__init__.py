"""The finished table as text and as a page: words, colours, charts, pictures. No torch here."""
