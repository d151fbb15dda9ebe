"""The site: all tables of a project as a folder of pages that opens without a server and without a network."""
