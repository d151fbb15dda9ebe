"""How files get in: download, import, archives."""
